"""The event ids a lane has seen: a file for each batch and partition, merged in the workers' memory.

An id is 128 bits of a hash over its source and its text, in two words; `pmod(first word, partitions)` says
in which partition it is. A worker reads each file once and keeps the ids in a few sorted runs, as a
log-structured merge tree does, so that a batch costs what it brings, not what is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from streaming.checkpoint import Checkpoint
from streaming.errors import LostWritesError

U64 = np.uint64
HELD = 40_000_000
"""Ids (20 bytes each) that a worker keeps of all partitions before it lets go of the least recently used."""

Cut = tuple[int, int]
"""A batch, and the number of partitions its ids are in."""


@dataclass(frozen=True)
class Ids:
    """Ids sorted by their first word."""

    first: np.ndarray
    second: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def encode(self) -> bytes:
        """As a file holds them: all first words, then all second ones."""
        return self.first.tobytes() + self.second.tobytes()

    @staticmethod
    def decode(data: bytes) -> Ids:
        """Undo `encode`."""
        return Ids(*np.frombuffer(data, U64).reshape(2, -1))

    def of(self, partition: int, partitions: int) -> Ids:
        """Those that belong to a partition when there are `partitions` of them."""
        mine = np.mod(self.first.view(np.int64), partitions) == partition
        return Ids(self.first[mine], self.second[mine])


@dataclass(frozen=True)
class Run:
    """Ids of neighbouring batches, and the batch of each."""

    ids: Ids
    batch: np.ndarray

    def merged(self, newer: Run) -> Run:
        """Both runs in one."""
        first = np.concatenate([self.ids.first, newer.ids.first])
        order = np.argsort(first, kind="stable")
        second = np.concatenate([self.ids.second, newer.ids.second])[order]
        return Run(Ids(first[order], second), np.concatenate([self.batch, newer.batch])[order])

    def since(self, oldest: int) -> Run:
        """What is no older than the batch `oldest`."""
        kept = self.batch >= oldest
        return self if kept.all() else Run(Ids(self.ids.first[kept], self.ids.second[kept]), self.batch[kept])

    def has(self, ids: Ids, oldest: int, before: int) -> np.ndarray:
        """Which of `ids` are here, from a batch in [oldest, before)."""
        found = np.zeros(len(ids), bool)
        rows = np.arange(len(ids))
        at = np.searchsorted(self.ids.first, ids.first)
        # Once round, but for ids that share a first word, or that came again after they were forgotten.
        while len(rows):
            inside = at < len(self.ids)
            rows, at = rows[inside], at[inside]
            same = self.ids.first[at] == ids.first[rows]
            rows, at = rows[same], at[same]
            batch = self.batch[at]
            hit = (self.ids.second[at] == ids.second[rows]) & (batch >= oldest) & (batch < before)
            found[rows[hit]] = True
            rows, at = rows[~hit], at[~hit] + 1
        return found


@dataclass
class Seen:
    """What one partition of `partitions` has seen, as far as this worker was asked for it."""

    checkpoint: Checkpoint
    partition: int
    partitions: int
    runs: list[Run] = field(default_factory=list)
    batches: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return sum(len(run.ids) for run in self.runs)

    def read(self, live: Sequence[Cut]) -> None:
        """Hold every batch of `live`, which is in ascending order.

        Raises LostWritesError when the checkpoint no longer has one.
        """
        if not live:
            return
        if self.batches and live[0][0] < min(self.batches):
            # An earlier batch is run again, and some of what it needs was let go.
            self.runs, self.batches = [], set()
        missing = [cut for cut in live if cut[0] not in self.batches]
        with ThreadPoolExecutor(16) as pool:
            for (batch, _), ids in zip(missing, pool.map(self._ids, missing), strict=True):
                self.add(batch, ids)
        self._forget(live[0][0])

    def _ids(self, cut: Cut) -> Ids:
        batch, partitions = cut
        if partitions == self.partitions:
            return Ids.decode(self._file(batch, self.partition))
        parts = [
            Ids.decode(self._file(batch, n)).of(self.partition, self.partitions) for n in range(partitions)
        ]
        first = np.concatenate([part.first for part in parts])
        order = np.argsort(first, kind="stable")
        return Ids(first[order], np.concatenate([part.second for part in parts])[order])

    def _file(self, batch: int, partition: int) -> bytes:
        held = self.checkpoint.seen(batch, partition)
        if held is None:
            raise LostWritesError(
                f"{self.checkpoint.location} lost the event ids of batch {batch}, and duplicates would pass: "
                "run `tidemark stream reset` and start the lane on a new checkpoint"
            )
        return held

    def add(self, batch: int, ids: Ids) -> None:
        """Take in the new ids of a batch; a batch that is held already changes nothing."""
        if batch in self.batches:
            return
        self.batches.add(batch)
        if not len(ids):
            return
        self.runs.append(Run(ids, np.full(len(ids), batch, np.int32)))
        while len(self.runs) > 1 and len(self.runs[-2].ids) <= 2 * len(self.runs[-1].ids):
            newer = self.runs.pop()
            self.runs[-1] = self.runs[-1].merged(newer)

    def _forget(self, oldest: int) -> None:
        self.batches = {batch for batch in self.batches if batch >= oldest}
        # A run is cut when half of it is too old, so that cutting costs no more than merging did.
        self.runs = [
            run.since(oldest) if 2 * np.count_nonzero(run.batch < oldest) >= len(run.ids) else run
            for run in self.runs
            if run.batch.max() >= oldest
        ]

    def has(self, ids: Ids, oldest: int, before: int) -> np.ndarray:
        """Which of `ids` came in a batch in [oldest, before)."""
        found = np.zeros(len(ids), bool)
        for run in self.runs:
            found |= run.has(ids, oldest, before)
        return found


_held: OrderedDict[tuple[int, int, int], Seen] = OrderedDict()


def held(checkpoint: Checkpoint, identity: int, partition: int, partitions: int) -> Seen:
    """This worker's `Seen` of a partition; `identity` is the checkpoint's."""
    key = (identity, partition, partitions)
    seen = _held.setdefault(key, Seen(checkpoint, partition, partitions))
    _held.move_to_end(key)
    while len(_held) > 1 and _total(_held.values()) > HELD:
        _held.popitem(last=False)
    return seen


def _total(all_held: Iterable[Seen]) -> int:
    return sum(len(seen) for seen in all_held)
