"""What a lane had seen at a moment: the events below given offsets of each partition, and no others.

A moment that saw every event up to its time, which is nearly all of them, is answered like any other. One that
misses some, because they came late, has its rows copied, those it did not see left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming.evaluation import Features
from streaming.history.point_in_time import Kernel, joined
from streaming.history.rows import Read
from streaming.parts import I64


@dataclass(frozen=True)
class Bounds:
    """`ends[i, p]` is the first offset of partition p that moment i of `read` does not see."""

    read: Read
    ends: np.ndarray

    @staticmethod
    def of(column: pa.Array, read: Read) -> Bounds:
        """`column` is that of the batch: a list of bigint for each moment, by partition; a shorter one ends with zeros."""
        lists = column.take(pa.array(read.asked_place))
        sizes = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(I64)
        ends = np.zeros((len(sizes), max(int(sizes.max(initial=0)), int(read.part.max(initial=0)) + 1)), I64)
        row = np.repeat(np.arange(len(sizes)), sizes)
        begins = np.cumsum(sizes) - sizes
        ends[row, np.arange(len(row)) - begins[row]] = lists.flatten().to_numpy(zero_copy_only=False)
        return Bounds(read, ends)

    def answer(self, kernel: Kernel) -> Features:
        """Features of all moments."""
        whole = np.ones(len(self.ends), bool)
        for _, ends, newest, _ in self._partitions():
            whole &= newest <= ends
        plain, other = np.flatnonzero(whole), np.flatnonzero(~whole)
        read, ends = self.read, self.ends[other]

        def sees(moments: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return read.offset[rows] < ends[moments, read.part[rows]]

        pieces = [
            (plain, kernel(read.block, read.asked.take(plain))),
            (other, kernel.gathered(read.block, read.asked.take(other), sees)),
        ]
        return joined(kernel.view, len(whole), pieces)

    def any_seen(self) -> np.ndarray:
        """Whether each moment sees any event at all."""
        seen = np.zeros(len(self.ends), bool)
        for _, ends, _, oldest in self._partitions():
            seen |= oldest <= ends
        return seen

    def _partitions(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """For each partition: its ends, and the highest and lowest offset + 1 of what is up to each moment's time.

        Where there is nothing the highest is 0 and the lowest beyond every end.
        """
        read, high = self.read, self.read.asked.high
        entity = read.block.tiles.entity
        first = np.searchsorted(entity, read.asked.entity)
        some = high > first
        last = np.maximum(high - 1, 0)
        for partition in np.unique(read.part).tolist():
            mine = read.part == partition
            ranks, inverse = np.unique(read.offset[mine], return_inverse=True)
            span = len(ranks) + 2
            up = np.zeros(len(entity), I64)
            up[mine] = inverse + 1
            down = np.full(len(entity), span - 1, I64)
            down[mine] = inverse + 1
            # Entities are numbered in the order of the rows: a running extreme starts anew at each.
            newest = np.maximum.accumulate(entity * span + up)[last] % span
            oldest = span - 1 - np.maximum.accumulate(entity * span + span - 1 - down)[last] % span
            ends = np.searchsorted(ranks, self.ends[:, partition])
            yield partition, ends, np.where(some, newest, 0), np.where(some, oldest, span - 1)
