"""When events are due: a steady rate kept by deadlines, and an account of how far behind it fell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Pace:
    """`rate` events a second from `start` on, by `clock` (both in seconds), `limit` of them at most.

    A producer that is held up catches up; `behind` is the longest it was late, in seconds. Without
    pacing (`rate` None) everything is due at once.
    """

    rate: float | None
    start: float
    clock: Callable[[], float]
    limit: int | None = None
    done: int = 0
    behind: float = field(default=0.0, init=False)

    def due(self, most: int) -> int:
        """How many events to make now: those whose deadline has passed, `most` at a time."""
        until = self.done + most
        if self.rate is not None:
            elapsed = self.clock() - self.start
            until = min(until, int(elapsed * self.rate))
            if until > self.done:
                self.behind = max(self.behind, elapsed - (self.done + 1) / self.rate)
        if self.limit is not None:
            until = min(until, self.limit)
        return max(0, until - self.done)

    def finished(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.done >= self.limit
