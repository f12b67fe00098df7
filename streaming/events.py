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
from streaming.columns import numbers, valid, values
from streaming.parts import I64, TEXT, U64, Values
from streaming.plan import View
from streaming.tiles import Tiles, lift

USED, NO_KEY, FILTERED = -1, -2, -3
"""Values of `item`: the event goes into a ring, has no key for this view, or was filtered by its udf."""

IDENTITY = -(1 << 30)
"""Value of `view` in a row for `streaming.duplicates`: `item` is its source's index, `h` and `time` are its id's hash."""

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
        time = micros // 1000
        newest = np.full(len(keys), parts.INT_MIN)
        np.maximum.at(newest, entity, time)
        ordered = any(slot.part in ("first", "last") for slot in self.view.slots)
        order = parts.order_key(micros, part, offset) if ordered else UNSORTED
        columns, bad = self._values(batch)
        hashes = {name: batch.column(column) for name, column in self.hashes.items()}
        tiles = lift(
            self.view,
            entity,
            time,
            order,
            {**{name: Values(_words(h), valid(h)) for name, h in hashes.items()}, **columns},
            {name: _words(h) for name, h in hashes.items()},
        )
        late = 0 if watermark is None else int((time < watermark).sum())
        return Chunk(keys, tiles, newest, part, offset, late, bad, no_key, filtered)

    def _values(self, batch: pa.RecordBatch) -> tuple[dict[str, Values], int]:
        """The view's columns, and how many values were not finite."""
        found, bad = {}, 0
        for name, physical in self.values.items():
            held = values(batch.column(physical))
            if held.data.dtype != TEXT:
                finite = np.isfinite(held.data)
                bad += int((held.valid & ~finite).sum())
                held = Values(held.data, held.valid & finite)
            found[name] = held
        return found, bad


def _words(column: pa.Array) -> np.ndarray:
    return numbers(column).view(U64)
