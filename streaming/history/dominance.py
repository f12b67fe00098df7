"""How many different values ranges of rows hold, and which are their smallest hashes.

A range's different values are its rows whose value did not occur in the range before: those whose previous
occurrence lies before the range. Counting them is counting numbers below a bound in a range, which a wavelet
matrix does with two look-ups a bit (Claude, Navarro, Ordóñez, "The wavelet matrix", 2015).
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np

from streaming.parts import I64, U64

MARGIN = 8.0
"""How many standard deviations more hashes are looked at than a window is expected to need."""


class Values:
    """Hashes in the order of their rows, grouped by entity: `entity` is sorted, one number a hash."""

    def __init__(self, entity: np.ndarray, hashes: np.ndarray) -> None:
        self.hashes = hashes
        count = len(hashes)
        order = np.lexsort((np.arange(count), hashes, entity))
        again = (hashes[order[1:]] == hashes[order[:-1]]) & (entity[order[1:]] == entity[order[:-1]])
        # Place + 1 of the previous occurrence, counted from the entity's first row; 0 where there is none.
        self.begin = np.searchsorted(entity, entity)
        self.previous = np.zeros(count, I64)
        self.previous[order[1:][again]] = order[:-1][again] + 1
        known = self.previous > 0
        self.previous[known] -= self.begin[known]
        self._levels = self._build()
        self._thinned: dict[int, np.ndarray] = {0: np.arange(count)}

    def _build(self) -> list[tuple[int, np.ndarray, int]]:
        """Bits of `previous`, highest first: the bit, how many zeros are before each place, how many in all."""
        levels, rest = [], self.previous
        for bit in reversed(range(int(self.previous.max(initial=0)).bit_length())):
            zero = (rest >> bit & 1) == 0
            before = np.concatenate([[0], np.cumsum(zero)])
            levels.append((bit, before, int(before[-1])))
            rest = np.concatenate([rest[zero], rest[~zero]])
        return levels

    def count(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Different values of the ranges from `low` to before `high`; none spans two entities."""
        filled = np.flatnonzero(high > low)
        result = np.zeros(len(low), I64)
        a, b = low[filled].copy(), high[filled].copy()
        bound = a - self.begin[a] + 1  # previous < bound: not within the range
        below = np.zeros(len(filled), I64)
        large = bound > (1 << (self._levels[0][0] + 1 if self._levels else 0)) - 1
        below[large] = (b - a)[large]
        for bit, zeros, total in self._levels:
            zero_a, zero_b = zeros[a], zeros[b]
            one = (bound >> bit & 1).astype(bool)
            below += np.where(one & ~large, zero_b - zero_a, 0)
            a = np.where(one, total + a - zero_a, zero_a)
            b = np.where(one, total + b - zero_b, zero_b)
        if not self._levels:
            below = b - a
        result[filled] = below
        return result

    def smallest(self, low: np.ndarray, high: np.ndarray, count: np.ndarray, k: int) -> np.ndarray:
        """The (k + 1)-th smallest different hash of each range; every one has more than `k` (see `count`).

        Ranges that begin at one place are done together: what a further row changes is rarely anything.
        """
        result = np.zeros(len(low), U64)
        order = np.lexsort((high, low))
        low, high, count = low[order], high[order], count[order]
        heads = np.flatnonzero(np.diff(low, prepend=-1))
        answers = np.empty(len(low), U64)
        for a, b in zip(heads.tolist(), [*heads[1:].tolist(), len(low)], strict=True):
            answers[a:b] = self._series(int(low[a]), high[a:b], int(count[a]), k)
        result[order] = answers
        return result

    def _series(self, low: int, high: np.ndarray, count: int, k: int) -> np.ndarray:
        thin = max(int(np.log2(count / (k + 1 + MARGIN * np.sqrt(k + 1)))), 0)
        while True:
            rows = self._thin(thin)
            a, b, c = np.searchsorted(rows, [low, high[0], high[-1]])
            held = np.unique(self.hashes[rows[a:b]])
            if len(held) > k or thin == 0:
                break
            thin -= 1
        best = held[: k + 1].tolist()
        later = rows[b:c]
        later = later[self.hashes[later] < np.uint64(best[-1])]
        if not len(later):
            return np.full(len(high), best[-1], U64)
        limits, places = [best[-1]], [int(high[0])]
        for row, value in zip(later.tolist(), self.hashes[later].tolist(), strict=True):
            if value < best[-1] and best[bisect_left(best, value)] != value:
                insort(best, value)
                best.pop()
                limits.append(best[-1])
                places.append(row + 1)
        return np.array(limits, U64)[np.searchsorted(places, high, side="right") - 1]

    def _thin(self, times: int) -> np.ndarray:
        """Rows whose hash is below 2^64 / 2^times."""
        if times not in self._thinned:
            rows = self._thin(times - 1)
            self._thinned[times] = rows[self.hashes[rows] < np.uint64(1 << (64 - times))]
        return self._thinned[times]


def estimate(count: np.ndarray, smallest: np.ndarray, k: int) -> np.ndarray:
    """The engine's estimate where more than `k` are there, of the (k + 1)-th smallest hashes."""
    share = (smallest.astype(np.float64) + 1) / 2.0**64
    return np.where(count > k, np.rint(k / share), count).astype(I64)
