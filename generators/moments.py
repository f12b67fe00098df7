"""Times as integer milliseconds since the epoch, UTC: their text and their place in the calendar."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from generators.draws import Bools, Ints

DAY = 86_400_000
HOUR = 3_600_000
HOLIDAYS = ((1, 1), (7, 4), (11, 26), (12, 25))
"""Public holidays as (month, day)."""


@cache
def _seconds() -> NDArray[np.bytes_]:
    return np.array([b"T%02d:%02d:%02d" % (s // 3600, s // 60 % 60, s % 60) for s in range(86_400)])


@cache
def _millis() -> NDArray[np.bytes_]:
    return np.array([b".%03dZ" % ms for ms in range(1000)])


def _by_day(at: Ints) -> tuple[Ints, Ints]:
    """(distinct days since the epoch, index of each time's day among them)."""
    days = at // DAY
    if len(days) and days[0] == days[-1] and (days == days[0]).all():
        return days[:1], np.zeros(len(days), np.int64)
    distinct, index = np.unique(days, return_inverse=True)
    return distinct, index


def iso(at: Ints, *, quoted: bool = False) -> NDArray[np.bytes_]:
    """ISO 8601 with milliseconds and Z, such as 2026-03-01T09:30:00.125Z; years 0000 to 9999."""
    days, index = _by_day(at)
    dates = days.astype("datetime64[D]").astype("S10")
    edge = int(quoted)
    text = np.full((len(at), 24 + 2 * edge), ord('"'), np.uint8)
    text[:, edge : edge + 10] = dates.view(np.uint8).reshape(-1, 10)[index]
    text[:, edge + 10 : edge + 19] = _seconds()[at % DAY // 1000].view(np.uint8).reshape(-1, 9)
    text[:, edge + 19 : edge + 24] = _millis()[at % 1000].view(np.uint8).reshape(-1, 5)
    return text.view(f"S{24 + 2 * edge}").ravel()


def hour(at: Ints) -> Ints:
    """Hour of the day, UTC."""
    return at // HOUR % 24


def weekday(at: Ints) -> Ints:
    """Day of the week, 0 is Monday."""
    return (at // DAY + 3) % 7


def month(at: Ints) -> Ints:
    """Month of the year, 0 is January."""
    days, index = _by_day(at)
    return (days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12)[index]


def is_holiday(at: Ints) -> Bools:
    """Whether the day is one of HOLIDAYS."""
    days, index = _by_day(at)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    day = (dates - months).astype(np.int64) + 1
    of_year = months.astype(np.int64) % 12 + 1
    found = np.zeros(len(days), bool)
    for m, d in HOLIDAYS:
        found |= (of_year == m) & (day == d)
    return found[index]
