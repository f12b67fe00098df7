"""A sorted stream of rows -> blocks of bounded size, however many rows one entity has.

Rows come sorted by `sort`: a bucket of the entity's hash, then the time in ms. A block is cut between two
milliseconds, so no moment is parted from what it sees. Where a bucket goes on in the next block, its entities' rows are
carried over as the online engine would keep them: merged into tiles that coarsen with age, as few as an
entity's ring has. Memory is that of ROWS rows, of the rows of a bucket in one millisecond, and of the rings of
one bucket's entities (a 2^18th of all).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from streaming import tiles
from streaming.evaluation import Features, since
from streaming.history.as_processed import Bounds
from streaming.history.point_in_time import Kernel
from streaming.history.rows import Read, Reader
from streaming.parts import I64
from streaming.tiles import Tiles

ROWS = 1 << 18
BUCKETS = 1 << 18
TIME_BITS = 45
EPOCH = 1 << (TIME_BITS - 1)
"""`sort` is bucket * 2^TIME_BITS + ms since the epoch + EPOCH."""


@dataclass(frozen=True)
class Answers:
    """Features of the moments of one block, in the order of `read.asked`; `seen` says whether the entity had any event."""

    read: Read
    batch: pa.RecordBatch
    features: Features
    seen: np.ndarray


@dataclass(frozen=True)
class Carried:
    """What a block leaves to the next: entity `keys`, their tiles, or the rows themselves (`batch`)."""

    keys: pa.Array
    tiles: Tiles | None = None
    batch: pa.RecordBatch | None = None


@dataclass(frozen=True)
class Blocks:
    """Answers what the rows of one view ask; `as_processed` where moments name the offsets that they see (`bounds`)."""

    reader: Reader
    rows: int = ROWS
    as_processed: bool = False

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Answers]:
        kernel = Kernel(self.reader.view)
        carried = Carried(pa.array([], pa.binary()))
        for batch, goes_on in cut(batches, self.rows):
            if carried.batch is not None:
                whole = pa.Table.from_batches([carried.batch, batch]).combine_chunks()
                batch = whole.to_batches()[0]
            read = self.reader.read(batch, carried.keys)
            known = np.arange(read.block.entities) < len(carried.keys)
            if carried.tiles is not None:
                read = _behind(read, carried.tiles)
            asked = read.asked
            if self.as_processed:
                bounds = Bounds.of(batch.column("bounds"), read)
                features, seen = bounds.answer(kernel), bounds.any_seen() | known[asked.entity]
            else:
                features = kernel(read.block, asked)
                first = np.searchsorted(read.block.tiles.entity, asked.entity)
                seen = (asked.high > first) | known[asked.entity]
            yield Answers(read, batch, features, seen)
            carried = self._carried(read, batch, known) if goes_on else Carried(carried.keys[:0])

    def _carried(self, read: Read, batch: pa.RecordBatch, known: np.ndarray) -> Carried:
        """Of the last bucket's entities, what moments after this block need."""
        sort = batch.column("sort").to_numpy()
        bucket, last = int(sort[-1]) >> TIME_BITS, (int(sort[-1]) & (2 * EPOCH - 1)) - EPOCH
        codes = _codes(read, batch)
        stays = np.zeros(read.block.entities, bool)
        stays[codes[(sort >> TIME_BITS == bucket) & (codes >= 0)]] = True
        if int(sort[0]) >> TIME_BITS == bucket:
            stays |= known
        kept = np.flatnonzero(stays)
        keys = read.keys.take(pa.array(kept))
        view = self.reader.view
        if self.as_processed:
            oldest = int(since(view.windows, np.array([last])).min())
            events = batch.column("ask").is_null().to_numpy(zero_copy_only=False)
            young = events & (sort >= (bucket << TIME_BITS) + max(oldest + EPOCH, 0))
            return Carried(keys, batch=batch.filter(pa.array(young)))
        number = np.full(read.block.entities, -1, I64)
        number[kept] = np.arange(len(kept))
        held = read.block.tiles
        mine = held.take(stays[held.entity], stays[held.items.entity])
        items = replace(mine.items, entity=number[mine.items.entity])
        mine = replace(mine, entity=number[mine.entity], items=items)
        return Carried(keys, tiles.merge(view, [mine], np.full(len(kept), last, I64)))


def cut(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Blocks of at least `rows` rows (but the last), and whether the last one's bucket goes on in the next."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        while count >= rows:
            table = _joined(held)
            sort = table.column("sort").to_numpy()
            end = min(rows, count - 1)
            end = int(np.searchsorted(sort, sort[end])) or int(np.searchsorted(sort, sort[end], "right"))
            if end >= count:
                held = [table]
                break
            yield table.slice(0, end), int(sort[end - 1]) >> TIME_BITS == int(sort[end]) >> TIME_BITS
            held, count = [table.slice(end)], count - end
    if count:
        yield _joined(held), False


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0] if len(batches) > 1 else batches[0]


def _codes(read: Read, batch: pa.RecordBatch) -> np.ndarray:
    """The number of each event's entity, -1 for moments."""
    codes = np.full(batch.num_rows, -1, I64)
    codes[read.place] = read.entity
    return codes


def _behind(read: Read, carried: Tiles) -> Read:
    block = read.block.behind(carried)
    before = np.cumsum(np.bincount(carried.entity, minlength=block.entities))
    asked = replace(read.asked, high=read.asked.high + before[read.asked.entity])
    return replace(read, block=block, asked=asked)
