"""Which events of a batch are copies of earlier ones, found before any ring is touched.

Each event with an id has a row of its own for this, in partitions of their own. Of the copies of an id, the
one with the lowest (partition, offset) of the first batch stays, however often a batch is run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark import TaskContext

from streaming.checkpoint import Checkpoint
from streaming.packets import opened
from streaming.seen import Cut, Ids, held

OUTPUT = "source int, part int, data binary"


@dataclass(frozen=True)
class Finder:
    """The function for `mapInArrow` over packets of identity rows; yields the places of duplicates (`data`, uint32).

    `live` are the batches whose ids are remembered. `starts` has, for each source, the offset at which
    each partition of its topic begins in this batch; places count from there.
    """

    checkpoint: Checkpoint
    identity: int
    batch: int
    partitions: int
    live: tuple[Cut, ...]
    starts: tuple[Mapping[int, int], ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        partition = TaskContext.get().partitionId()  # type: ignore[union-attr]
        table = pa.Table.from_batches([*opened(batches)] or [_EMPTY])
        source, part, offset, first, second = (table.column(name).to_numpy() for name in _EMPTY.schema.names)
        first, second = first.view(np.uint64), second.view(np.uint64)
        order, head = ranked(first, second, part, offset)
        ids = Ids(first[order[head]], second[order[head]])
        seen = held(self.checkpoint, self.identity, partition, self.partitions)
        seen.read(self.live)
        oldest = self.live[0][0] if self.live else self.batch
        known = seen.has(ids, oldest, self.batch)
        new = Ids(ids.first[~known], ids.second[~known])
        self.checkpoint.remember_seen(self.batch, partition, new.encode())
        seen.add(self.batch, new)
        copy = ~head
        copy[np.flatnonzero(head)[known]] = True
        yield from self._places(source[order[copy]], part[order[copy]], offset[order[copy]])

    def _places(self, source: np.ndarray, part: np.ndarray, offset: np.ndarray) -> Iterator[pa.RecordBatch]:
        rows: dict[str, list[object]] = {"source": [], "part": [], "data": []}
        for s, p in {*zip(source.tolist(), part.tolist(), strict=True)}:
            places = offset[(source == s) & (part == p)] - self.starts[s].get(p, 0)
            for name, value in zip(rows, (s, p, places.astype(np.uint32).tobytes()), strict=True):
                rows[name].append(value)
        yield pa.RecordBatch.from_pydict(rows, schema=ROWS)


_EMPTY = pa.RecordBatch.from_pydict(
    {name: pa.array([], t) for name, t in [("item", pa.int32()), ("part", pa.int32()), ("offset", pa.int64()),
                                           ("h", pa.int64()), ("time", pa.int64())]}
)  # fmt: skip
ROWS = pa.schema([("source", pa.int32()), ("part", pa.int32()), ("data", pa.binary())])


def ranked(
    first: np.ndarray, second: np.ndarray, part: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in order of (first, second, part, offset), and whether each is the first of its id."""
    order = np.argsort(first, kind="stable")
    twin = first[order[1:]] == first[order[:-1]]
    # Only rows that share a first word need the other three.
    shared = np.flatnonzero(np.append(twin, False) | np.append(False, twin)[: len(order)])
    rows = order[shared]
    order[shared] = rows[np.lexsort((offset[rows], part[rows], second[rows], first[rows]))]
    head = np.ones(len(order), bool)
    a, b = order[1:], order[:-1]
    head[1:] = (first[a] != first[b]) | (second[a] != second[b])
    return order, head


@dataclass(frozen=True)
class Span:
    """The part of a batch that is one partition of a source's topic: `length` offsets from `start`."""

    part: int
    start: int
    length: int


@dataclass(frozen=True)
class Copies:
    """A source's duplicates in one batch: a bit for each offset of its `spans`, which are in ascending order."""

    spans: tuple[Span, ...]
    bits: bytes
    count: int

    @staticmethod
    def of(spans: Iterable[Span], places: Mapping[int, list[bytes]]) -> Copies:
        """From what `Finder` yields, by partition."""
        spans = tuple(sorted(spans, key=lambda span: span.part))
        flags = np.zeros(sum(span.length for span in spans), bool)
        begin = 0
        for span in spans:
            for found in places.get(span.part, ()):
                flags[begin + np.frombuffer(found, np.uint32).astype(np.int64)] = True
            begin += span.length
        return Copies(spans, np.packbits(flags).tobytes(), int(flags.sum()))

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """A flag for each offset, and by partition what to add to an offset to find its flag."""
        flags = np.unpackbits(np.frombuffer(self.bits, np.uint8)).view(bool)
        base = np.zeros(self.spans[-1].part + 1, np.int64)
        begin = 0
        for span in self.spans:
            base[span.part] = begin - span.start
            begin += span.length
        return flags, base

    def among(self, part: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Which events are duplicates, by their places."""
        flags, base = self._table
        return flags[base[part] + offset]
