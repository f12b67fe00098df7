"""Spark's rows of one view, events and moments together, as a block.

Columns: `key` (bytes), `time` (us), `part` and `offset` (a place in Kafka), `ask` (null for an event, else the number of
the moment that asks), and the view's physical columns (`streaming.projection`). A moment sees the events of its
entity that come before it by (time, part, offset): a `part` of AFTER_ALL includes those of its own time, one of
BEFORE_ALL excludes them, and an event's own place includes what came before that event and not the event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming import columns, tiles
from streaming.distinct import Items, changes
from streaming.history.block import Asked, Block
from streaming.parts import I64, U64, Values
from streaming.plan import View
from streaming.projection import ViewColumns

BEFORE_ALL, AFTER_ALL = -1, 2**31 - 1


@dataclass(frozen=True)
class Read:
    """A block with what it was made of: entity `keys` (Arrow), each row's place, and who asks.

    `asked` are the moments in the block's order, `number` says which each is (the column `ask`) and `asked_place` its
    row in the batch. `entity`, `time`, `part`, `offset` and `place` (row in the batch) are those of the events in the
    block's order; rows that were carried into it are not among them.
    """

    block: Block
    asked: Asked
    number: np.ndarray
    keys: pa.Array
    time: np.ndarray
    part: np.ndarray
    offset: np.ndarray
    place: np.ndarray
    entity: np.ndarray
    asked_place: np.ndarray


@dataclass(frozen=True)
class Reader:
    """Reads rows of one view; with `every_event`, each event is a moment too, which sees all of its time."""

    view: View
    columns: ViewColumns
    every_event: bool = False

    def read(self, batch: pa.RecordBatch, keys: pa.Array) -> Read:
        """`keys` are entities to be numbered first, as they were carried from the block before."""
        encoded = pa.concat_arrays([keys, batch.column("key")]).dictionary_encode()
        entity = encoded.indices.to_numpy(zero_copy_only=False).astype(I64)[len(keys) :]
        time, part, offset = (columns.numbers(batch.column(name)) for name in ("time", "part", "offset"))
        asks = batch.column("ask")
        event = asks.is_null().to_numpy(zero_copy_only=False)
        order = _order(entity, time, part, offset, event)
        entity, time, event = entity[order], time[order], event[order]
        rows, moments = np.flatnonzero(event), np.flatnonzero(~event)
        taken = (
            batch
            if len(rows) == len(order) and (order[1:] > order[:-1]).all()
            else batch.take(pa.array(order[rows]))
        )
        block = self._block(taken, entity[rows], time[rows], len(encoded.dictionary))
        if self.every_event:
            asked = Asked(entity[rows], time[rows], _ties(entity[rows], time[rows]))
            number, asking = np.arange(len(rows)), order[rows]
        else:
            before = np.cumsum(event)[moments]
            asked = Asked(entity[moments], time[moments], before)
            asking = order[moments]
            number = columns.numbers(asks)[asking]
        place = order[rows]
        return Read(
            block,
            asked,
            number,
            encoded.dictionary,
            time[rows],
            part[place],
            offset[place],
            place,
            entity[rows],
            asking,
        )

    def _block(self, batch: pa.RecordBatch, entity: np.ndarray, time: np.ndarray, entities: int) -> Block:
        rank = np.arange(len(time), dtype=U64)
        values = {
            name: columns.values(batch.column(physical)) for name, physical in self.columns.values.items()
        }
        hashes = {}
        for name, physical in self.columns.hashes.items():
            column = batch.column(physical)
            hashes[name] = columns.numbers(column).view(U64)
            values.setdefault(name, Values(hashes[name], columns.valid(column)))
        lifted = tiles.lift(self.view, entity, time // 1000, (time, rank), values, hashes)
        if not len(lifted.items):
            return Block(lifted, np.empty(0, I64), entities)
        counted = [slot for slot in self.view.slots if slot.part == "distinct"]
        known = [columns.valid(batch.column(self.columns.hashes[slot.column])) for slot in counted]
        row = np.concatenate([np.flatnonzero(valid) for valid in known])
        numbers = [self.view.slots.index(slot) for slot in counted]
        items = Items(
            entity[row],
            lifted.start[row],
            np.concatenate(
                [np.full(int(v.sum()), n, np.uint16) for n, v in zip(numbers, known, strict=True)]
            ),
            np.concatenate([hashes[s.column][v] for s, v in zip(counted, known, strict=True)]),
        )
        if len(counted) > 1:
            by_row = np.argsort(row, kind="stable")
            row, items = row[by_row], items.take(by_row)
        return Block(tiles.Tiles(entity, lifted.start, lifted.columns, items), row, entities)


def _order(
    entity: np.ndarray, time: np.ndarray, part: np.ndarray, offset: np.ndarray, event: np.ndarray
) -> np.ndarray:
    """By entity, time, place; at one place the moment before the event."""
    if not len(time):
        return np.empty(0, I64)
    span = int(time.max()) - int(time.min()) + 1
    if (int(entity.max()) + 1) * span >= 2**63:
        return np.lexsort((event, offset, part, time, entity))
    key = entity * span + (time - time.min())
    order = np.argsort(key)
    sorted_ = key[order]
    tied = np.zeros(len(order), bool)
    same = sorted_[1:] == sorted_[:-1]
    tied[1:] |= same
    tied[:-1] |= same
    places = np.flatnonzero(tied)
    if len(places):
        rows = order[places]
        order[places] = rows[np.lexsort((event[rows], offset[rows], part[rows], key[rows]))]
    return order


def _ties(entity: np.ndarray, time: np.ndarray) -> np.ndarray:
    """For every row the row after the last of its entity and time."""
    heads = np.flatnonzero(changes(entity) | changes(time))
    return np.repeat(np.append(heads[1:], len(time)), np.diff(heads, append=len(time)))
