"""Counts and sums of each key's events up to any moment, for many moments at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from examples.underwriting.history.world import DAY
from generators.draws import Floats, Ints

_SPAN = 1 << 42
"""More milliseconds than from 1970 to 2100: key and time make one sortable number."""


@dataclass
class Past:
    """Events of keys (numbers below a million) at times (ms)."""

    key: Ints
    time: Ints
    order: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.order = np.lexsort((self.time, self.key))
        self._sorted = self.key[self.order] * _SPAN + self.time[self.order]

    def span(self, key: Ints, until: Ints, since: Ints | None = None) -> Span:
        """For each (key, moment): its events from `since` (without it all) up to and with `until`."""
        end = np.searchsorted(self._sorted, key * _SPAN + until, "right")
        start = key * _SPAN if since is None else key * _SPAN + since
        return Span(self, np.searchsorted(self._sorted, start, "left"), end)

    def days(self, key: Ints, until: Ints, days: int) -> Span:
        """The events of a window of `days` that slides every day, as the stream views mean it."""
        return self.span(key, until, (until // DAY + 1) * DAY - days * DAY)


@dataclass(frozen=True)
class Span:
    """Ranges of sorted events; several ranges may overlap."""

    past: Past
    start: Ints
    end: Ints

    @property
    def count(self) -> Ints:
        return self.end - self.start

    def sum(self, values: Ints | Floats) -> Floats:
        """Of `values`, one an event. Sums of integers are exact."""
        ordered = values[self.past.order]
        total = np.concatenate([[0], np.cumsum(ordered)])
        return total[self.end] - total[self.start]

    def mean(self, values: Ints | Floats) -> Floats:
        """NaN of nothing."""
        return np.where(self.count > 0, self.sum(values) / np.maximum(self.count, 1), np.nan)

    def values(self, values: Ints) -> Iterator[list[int]]:
        """Those of each range, one by one."""
        ordered = values[self.past.order].tolist()
        return (ordered[start:end] for start, end in zip(self.start.tolist(), self.end.tolist(), strict=True))

    def highest(self, values: Floats) -> Floats:
        """Of ranges that begin with a key's first event; NaN of nothing."""
        ordered, key = values[self.past.order], self.past.key[self.past.order]
        so_far = ordered.astype(float)
        for i in range(1, len(so_far)):
            if key[i] == key[i - 1]:
                so_far[i] = max(so_far[i], so_far[i - 1])
        return self._at(so_far, self.end - 1)

    @property
    def first(self) -> Floats:
        """Time of the first event (ms); NaN of nothing."""
        return self._at(self.past.time[self.past.order].astype(float), self.start)

    @property
    def last(self) -> Floats:
        """Time of the last event (ms); NaN of nothing."""
        return self._at(self.past.time[self.past.order].astype(float), self.end - 1)

    def _at(self, values: Floats, place: Ints) -> Floats:
        if not len(values):
            return np.full(len(place), np.nan)
        return np.where(self.count > 0, values[np.clip(place, 0, len(values) - 1)], np.nan)
