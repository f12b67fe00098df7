"""What a person sees of a run: a live table, then a closing report."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from generators.tally import Tally


class Display:
    """A table that is redrawn in place; on anything but a terminal it shows nothing."""

    def __init__(self, console: Console, target: float | None) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._shown = console.is_terminal
        self._target = target
        self._before = (0.0, 0)

    def __enter__(self) -> Display:
        if self._shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._live.stop()

    def show(self, tally: Tally) -> None:
        """Draws the tally; the rate is that since the last drawing."""
        seconds, acked = self._before
        if not self._shown or tally.elapsed <= seconds:
            return
        rate = (tally.acked - acked) / (tally.elapsed - seconds)
        self._before = (tally.elapsed, tally.acked)
        table = Table(title=f"producing for {tally.elapsed:,.0f} s", box=None)
        for name in ("sent", "acknowledged", "failed", "events/s", "target", "ack p50", "ack p99", "behind"):
            table.add_column(name, justify="right")
        table.add_row(
            f"{tally.sent:,}",
            f"{tally.acked:,}",
            f"{tally.failed:,}",
            f"{rate:,.0f}",
            "-" if self._target is None else f"{self._target:,.0f}",
            _ms(tally.latency.quantile(0.5)),
            _ms(tally.latency.quantile(0.99)),
            f"{tally.behind:.2f} s",
        )
        self._live.update(table, refresh=True)


def closing(console: Console, report: dict[str, Any]) -> None:
    """Prints the closing report for people."""
    table = Table(box=None, show_header=False)
    success = report["delivery_success"]
    ack, hostile = report["ack_ms"], report["hostile"]
    rows = {
        "sent": f"{report['sent']:,} ({', '.join(f'{n:,} {s}' for s, n in report['streams'].items())})",
        "acknowledged": f"{report['acked']:,}",
        "failed": f"{report['failed']:,}",
        "delivery success": "-" if success is None else f"{success:.4%}",
        "events/s": f"{report['events_per_second']:,.0f} over {report['seconds']:.1f} s",
        "ack": f"p50 {ack['p50']} ms, p99 {ack['p99']} ms, longest {ack['max']} ms",
        "behind": f"{report['behind_seconds']:.2f} s at most",
    }
    if any(hostile.values()):
        spoiled = ", ".join(f"{n:,} {kind}" for kind, n in hostile["malformed"].items()) or "none"
        rows["hostile"] = (
            f"{hostile['late']:,} late, {hostile['duplicates']:,} duplicates; malformed: {spoiled}"
        )
    for reason, count in report["failures"].items():
        rows[f"not delivered: {reason}"] = f"{count:,}"
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:,.1f} ms"
