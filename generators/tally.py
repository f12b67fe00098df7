"""What a run has done so far, and the report made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from generators.hostile import KINDS
from generators.latency import Latency


@dataclass
class Tally:
    """Counts of one process; `elapsed` and `behind` are seconds, `bytes` those of the values."""

    sent: int = 0
    acked: int = 0
    bytes: int = 0
    elapsed: float = 0.0
    behind: float = 0.0
    streams: Counter[str] = field(default_factory=Counter)
    hostile: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latency: Latency = field(default_factory=Latency)
    finished: bool = False
    error: str = ""

    @property
    def failed(self) -> int:
        return self.failures.total()


def together(tallies: Sequence[Tally]) -> Tally:
    """The tally of several processes that ran side by side."""
    whole = Tally()
    for t in tallies:
        whole.sent += t.sent
        whole.acked += t.acked
        whole.bytes += t.bytes
        whole.elapsed = max(whole.elapsed, t.elapsed)
        whole.behind = max(whole.behind, t.behind)
        whole.streams += t.streams
        whole.hostile += t.hostile
        whole.failures += t.failures
        whole.latency = whole.latency.merged(t.latency)
        whole.error = whole.error or t.error
    whole.finished = all(t.finished for t in tallies)
    return whole


def report(tally: Tally) -> dict[str, Any]:
    """The closing report: delivery, rate, ack latency in milliseconds, hostile counts."""

    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else round(1000 * seconds, 2)

    return {
        "sent": tally.sent,
        "acked": tally.acked,
        "failed": tally.failed,
        "delivery_success": tally.acked / tally.sent if tally.sent else None,
        "events_per_second": round(tally.acked / tally.elapsed, 1) if tally.elapsed else 0.0,
        "seconds": round(tally.elapsed, 3),
        "megabytes": round(tally.bytes / 1e6, 1),
        "ack_ms": {
            "p50": ms(tally.latency.quantile(0.5)),
            "p99": ms(tally.latency.quantile(0.99)),
            "max": ms(tally.latency.longest) if tally.acked else None,
        },
        "behind_seconds": round(tally.behind, 3),
        "streams": dict(tally.streams),
        "hostile": {
            "late": tally.hostile["late"],
            "duplicates": tally.hostile["duplicates"],
            "malformed": {kind: tally.hostile[kind] for kind in KINDS if tally.hostile[kind]},
        },
        "failures": dict(tally.failures),
    }
