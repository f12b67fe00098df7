"""The moment a read is for: the wall clock, or the one a caller asked for with `as_of`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from streaming.errors import TidemarkError

Clock = Callable[[], int]
"""Now, in milliseconds since the epoch."""

_ASKED: ContextVar[int | None] = ContextVar("tidemark_as_of", default=None)


class AsOfError(TidemarkError):
    """A moment that the online store cannot answer for."""


@contextmanager
def as_of(moment: datetime) -> Iterator[None]:
    """Within this context, online reads answer as of `moment` instead of now.

    Holds for this thread or asyncio task alone. An entity whose newest event is later than `moment`
    cannot be answered from its ring: the read raises AsOfError. Raises AsOfError for a datetime
    without a time zone.
    """
    if moment.utcoffset() is None:
        raise AsOfError(f"as_of needs a time zone: {moment.isoformat()}+00:00 would be UTC")
    token = _ASKED.set(millis(moment))
    try:
        yield
    finally:
        _ASKED.reset(token)


def asked() -> int | None:
    """The moment of the innermost `as_of`, in milliseconds, or None outside of one."""
    return _ASKED.get()


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


def millis(moment: datetime) -> int:
    """Whole milliseconds since the epoch, rounded down."""
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 // 1)


def text(millis: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return (
        datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
