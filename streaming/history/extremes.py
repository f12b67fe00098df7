"""Smallest and largest of ranges by doubling: one table at a time, of runs of 1, 2, 4, ... rows.

A range of n rows is the union of two overlapping runs of the greatest power of two within n. Ranges wait until
the table of their power is there, so that memory is that of two columns, however long the ranges are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Ranges:
    """Ranges of rows, from `low` to before `high`, sorted once by the power of two that covers them."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        size = high - low
        self.shape = size.shape
        power = (np.frexp(size.ravel().astype(np.float64))[1] - 1).astype(np.int8)
        self.order = np.argsort(power, kind="stable")
        counts = np.bincount(np.maximum(power, -1) + 1) if len(power) else np.zeros(1, np.int64)
        self.cuts = np.cumsum(counts)
        self.low = low.ravel()[self.order]
        self.last = high.ravel()[self.order]

    def best(
        self, columns: Mapping[str, tuple[np.ufunc, np.ndarray]], empty: Mapping[str, object]
    ) -> dict[str, np.ndarray]:
        """For each column (a ufunc such as np.fmin, and its values) the best of every range, or `empty`."""
        tables = {name: values.copy() for name, (_, values) in columns.items()}
        found = {}
        for name, (_, values) in columns.items():
            found[name] = np.full(len(self.order), empty[name], values.dtype)
        for power in range(len(self.cuts) - 1):
            a, b = int(self.cuts[power]), int(self.cuts[power + 1])
            step = 1 << power
            for name, (best, _) in columns.items():
                table = tables[name]
                if b > a:
                    left = table[self.low[a:b]]
                    found[name][a:b] = best(left, table[self.last[a:b] - step], out=left) if power else left
                if power + 2 < len(self.cuts):
                    best(table[:-step], table[step:], out=table[:-step])
        return {name: self._restored(values) for name, values in found.items()}

    def _restored(self, values: np.ndarray) -> np.ndarray:
        result = np.empty_like(values)
        result[self.order] = values
        return result.reshape(self.shape)
