"""What a person sees while the demo runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidemark.demo.accounts import Accounts

PLAIN_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""

NAMES = {"rings": "entities"}
"""Columns that the lane's reports call otherwise."""


@dataclass
class Now:
    """The state of the demo at one moment; rates are events a second over the last seconds."""

    phase: str
    elapsed: float
    of: float | None
    sent: int
    lag: int
    accounts: Accounts
    produced: float = 0.0
    used: float = 0.0
    p50: float | None = None
    p95: float | None = None


@dataclass
class Screen:
    """Shows moments; use it as a context."""

    console: Console
    _live: Live | None = None
    _told: float = field(default=-PLAIN_EVERY)
    _past: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, now: Now) -> None:
        """Draw it at once on a terminal; elsewhere print a line when the last one is 5 s old."""
        moment = time.monotonic()
        if self._live is None and moment - self._told < PLAIN_EVERY:
            return
        while len(self._past) > 1 and moment - self._past[1][0] >= PLAIN_EVERY:
            self._past.popleft()
        if self._past:
            since, sent, read = self._past[0]
            now.produced, now.used = (
                (n - b) / (moment - since) for n, b in ((now.sent, sent), (now.accounts.read, read))
            )
        self._past.append((moment, now.sent, now.accounts.read))
        self._told = moment
        if self._live:
            self._live.update(Group(Text(line(now)), views(now.accounts)), refresh=True)
        else:
            self.console.print(line(now), highlight=False, soft_wrap=True)


def line(now: Now) -> str:
    """The moment in one line."""
    accounts = now.accounts
    phase = (
        f"{now.phase} {now.elapsed:.0f} s"
        if now.of is None
        else f"{now.phase} {now.elapsed:.0f} of {now.of:.0f} s"
    )
    if not accounts.batches:
        return phase
    counts = list(accounts.views.values())
    spoiled = sum(sum(reasons.values()) for reasons in accounts.quarantined.values())
    batch = f"{sorted(accounts.seconds)[len(accounts.seconds) // 2]:.2f} s" if accounts.seconds else "-"
    parts = [
        phase,
        f"sent {now.sent:,} ({now.produced:,.0f}/s)",
        f"read {accounts.read:,} ({now.used:,.0f}/s)",
        f"lag {now.lag:,}",
        f"batch {batch}",
        f"freshness p50 {seconds(now.p50)} p95 {seconds(now.p95)}",
        f"late {sum(view['late'] for view in counts):,}",
        f"duplicate {accounts.duplicates:,}",
        f"quarantined {spoiled:,}",
    ]
    return " | ".join(parts)


def views(accounts: Accounts, *, closing: bool = False) -> Table:
    """A row for each view: what became of its messages."""
    columns = (
        "read",
        "used",
        "too late",
        "no key",
        "filtered",
        "duplicate",
        "quarantined",
        "late",
        "rings",
    )
    table = Table(box=None)
    table.add_column("view")
    for column in columns if closing else (*columns, "freshness"):
        table.add_column(column, justify="right")
    for name in sorted(accounts.views):
        view = accounts.views[name]
        cells = [f"{view[NAMES.get(column, column.replace(' ', '_'))]:,}" for column in columns]
        if not closing:
            cells.append(seconds(accounts.freshness.get(name)))
        table.add_row(name, *cells)
    return table


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
