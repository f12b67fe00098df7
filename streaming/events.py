"""A chunk of one view's events, as numpy arrays and unmerged tiles.

Columns of a row: `view`, `key` (bytes), `item` (what became of the event), `time` (microseconds), `part`
and `offset` (its place in Kafka), `h` (hash of the key), and the physical columns of
`streaming.projection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming import parts
from streaming.columns import numbers, values
from streaming.parts import I64, U64, Values
from streaming.plan import View
from streaming.tiles import Tiles, lift

USED, NO_KEY, FILTERED = -1, -2, -3
"""Values of `item`: the event goes into a ring, has no key for this view, or was filtered by its udf."""

UNSORTED = (np.empty(0, I64), np.empty(0, U64))


@dataclass(frozen=True)
class Chunk:
    """Events of whole entities: `keys`, and unmerged `tiles`, one row an event.

    `newest` is the newest event time of each entity (ms); `part` and `offset` are each row's place.
    `late`, `bad` (NaN or infinite values taken as null), `no_key` and `filtered` are counts.
    """

    keys: list[bytes]
    tiles: Tiles
    newest: np.ndarray
    part: np.ndarray
    offset: np.ndarray
    late: int
    bad: int
    no_key: int
    filtered: int


@dataclass(frozen=True)
class Reader:
    """Reads rows of one view; `values` and `hashes` map its columns to physical ones."""

    view: View
    values: Mapping[str, str]
    hashes: Mapping[str, str]

    def read(self, batch: pa.RecordBatch, watermark: int | None) -> Chunk:
        """`watermark` is the source's, in ms: events behind it are counted as late."""
        item = numbers(batch.column("item"))
        no_key, filtered = int((item == NO_KEY).sum()), int((item == FILTERED).sum())
        if no_key or filtered:
            batch = batch.filter(pa.array(item == USED))
        encoded = batch.column("key").dictionary_encode()
        entity = encoded.indices.to_numpy(zero_copy_only=False).astype(I64)
        keys = encoded.dictionary.to_pylist()
        micros, part, offset = (numbers(batch.column(name)) for name in ("time", "part", "offset"))
        newest = np.full(len(keys), parts.INT_MIN)
        np.maximum.at(newest, entity, micros // 1000)
        held = {name: values(batch.column(name)) for name in self.physical}
        tiles, bad = self.tiles(entity, micros, part, offset, held)
        late = 0 if watermark is None else int((micros // 1000 < watermark).sum())
        return Chunk(keys, tiles, newest, part, offset, late, bad, no_key, filtered)

    @property
    def physical(self) -> set[str]:
        """The physical columns that are read."""
        return {*self.values.values(), *self.hashes.values()}

    def tiles(
        self,
        entity: np.ndarray,
        micros: np.ndarray,
        part: np.ndarray,
        offset: np.ndarray,
        held: Mapping[str, Values],
    ) -> tuple[Tiles, int]:
        """A tile for every event, and how many values were not finite; `held` are the physical columns."""
        ordered = any(slot.part in ("first", "last") for slot in self.view.slots)
        order = parts.order_key(micros, part, offset) if ordered else UNSORTED
        given = {name: held[physical] for name, physical in self.values.items()}
        columns = {name: column.finite() for name, column in given.items()}
        words = {name: held[physical].data.view(U64) for name, physical in self.hashes.items()}
        known = {name: Values(words[name], held[physical].valid) for name, physical in self.hashes.items()}
        masked = [(given[name].valid, column.valid) for name, column in columns.items()]
        bad = sum(int(before.sum() - after.sum()) for before, after in masked if before is not after)
        return lift(self.view, entity, micros // 1000, order, {**known, **columns}, words), bad
