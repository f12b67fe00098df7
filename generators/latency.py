"""Latencies as counts in buckets that grow by 2 %: small, mergeable, quantiles within 2 %."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generators.draws import Ints

_SHORTEST = 1e-5
_GROWTH = 1.02
_BUCKETS = 900


class Latency:
    """Seconds from 10 microseconds to ten minutes; `longest` is exact."""

    def __init__(self, counts: Ints | None = None, longest: float = 0.0) -> None:
        self.counts = np.zeros(_BUCKETS, np.int64) if counts is None else counts
        self.longest = longest

    def add(self, seconds: Sequence[float]) -> None:
        """Counts some latencies."""
        if not len(seconds):
            return
        values = np.maximum(np.asarray(seconds), _SHORTEST)
        buckets = np.minimum(np.log(values / _SHORTEST) / np.log(_GROWTH), _BUCKETS - 1).astype(np.int64)
        self.counts += np.bincount(buckets, minlength=_BUCKETS)
        self.longest = max(self.longest, float(values.max()))

    def merged(self, other: Latency) -> Latency:
        """Both together."""
        return Latency(self.counts + other.counts, max(self.longest, other.longest))

    def quantile(self, q: float) -> float | None:
        """Seconds within which the share `q` lies; None when nothing was counted."""
        total = int(self.counts.sum())
        if not total:
            return None
        bucket = int(np.searchsorted(np.cumsum(self.counts), q * total))
        return min(_SHORTEST * _GROWTH ** (bucket + 1), self.longest)
