"""How the values of a feature are spread, in a size that does not grow with their number.

A bucket holds the numbers whose sign, exponent and first six binary digits agree, so it is at most 1/64 of its
numbers wide, or of 2.2e-308 where they are smaller, and buckets of different days and machines add up.
Each keeps its least and its greatest value: one that holds a single value is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SHIFT = 46
"""Bits of a float64 that a bucket leaves out."""
BINS = 10
SMOOTHING = 0.5
"""Rows that each bin has on top, so that an empty one does not make the index infinite."""


def buckets(ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bucket, count, least and greatest value of finite float64s that are sorted. Greater buckets, greater values."""
    held = np.abs(ascending).view(np.int64) >> SHIFT
    number = np.where(ascending < 0, -1 - held, held)
    heads = np.flatnonzero(np.diff(number, prepend=-1 << 62))
    ends = np.append(heads[1:], len(number))
    return number[heads], ends - heads, ascending[heads], ascending[ends - 1] if len(heads) else ascending


def bounds(numbers: np.ndarray) -> np.ndarray:
    """The number at which each bucket begins."""
    edges = (np.abs(numbers) << SHIFT).view(np.float64)
    return np.where(numbers < 0, -edges, edges)


@dataclass(frozen=True)
class Distribution:
    """Rows of a feature: `nulls` of them, and the others by bucket, in ascending order."""

    nulls: int
    bucket: np.ndarray
    count: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Distribution:
        """Of float64s; what is not finite counts as null."""
        finite = np.sort(values[np.isfinite(values)])
        return cls(len(values) - len(finite), *buckets(finite))

    @classmethod
    def merged(cls, parts: Iterable[Distribution]) -> Distribution:
        """Of all their rows together."""
        held = list(parts)
        if not held:
            return cls.of(np.zeros(0))
        bucket, where = np.unique(np.concatenate([p.bucket for p in held]), return_inverse=True)
        count = np.zeros(len(bucket), np.int64)
        np.add.at(count, where, np.concatenate([p.count for p in held]))
        low, high = np.full(len(bucket), np.inf), np.full(len(bucket), -np.inf)
        np.minimum.at(low, where, np.concatenate([p.low for p in held]))
        np.maximum.at(high, where, np.concatenate([p.high for p in held]))
        return cls(sum(p.nulls for p in held), bucket, count, low, high)

    @property
    def rows(self) -> int:
        return self.nulls + int(self.count.sum())

    def quantile(self, share: float) -> float | None:
        """The value below which `share` of the values lie, None without values.

        Within 1/64 of the value of that rank; least, greatest and lone values are exact.
        """
        if not len(self.count):
            return None
        before = np.cumsum(self.count)
        rank = share * (int(before[-1]) - 1)
        i = int(np.searchsorted(before, rank, side="right"))
        within = rank - (int(before[i]) - int(self.count[i]))
        steps = max(int(self.count[i]) - 1, 1)
        low, high = float(self.low[i]), float(self.high[i])
        return low + (high - low) * min(within / steps, 1.0)

    def cuts(self, bins: int = BINS) -> np.ndarray:
        """The first buckets of up to `bins` bins that hold about as many values each; the first bin has no bound."""
        if not len(self.count):
            return np.zeros(0, np.int64)
        before = np.cumsum(self.count) - self.count
        wanted = np.arange(1, bins) * (int(self.count.sum()) / bins)
        at = np.searchsorted(before, wanted)
        return self.bucket[np.unique(at[(at > 0) & (at < len(self.bucket))])]

    def histogram(self, cuts: np.ndarray) -> np.ndarray:
        """Values in each of the bins that `cuts` bound."""
        return np.bincount(
            np.searchsorted(cuts, self.bucket, side="right"), self.count, len(cuts) + 1
        ).astype(np.int64)


def psi(baseline: Distribution, other: Distribution, cuts: np.ndarray) -> float | None:
    """Population stability index: the sum of (a - b) ln(a / b) over the shares a and b of each bin, nulls being one.

    None when either has no rows.
    """
    if not (baseline.rows and other.rows):
        return None
    a, b = (_shares(held, cuts) for held in (other, baseline))
    return float(np.sum((a - b) * np.log(a / b)))


def _shares(held: Distribution, cuts: np.ndarray) -> np.ndarray:
    counts = np.append(held.histogram(cuts), held.nulls) + SMOOTHING
    return counts / counts.sum()
