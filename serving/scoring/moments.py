"""Features of one view as of each event of a batch: every event is answered from what came before it, and itself.

No ring is merged event by event. Each event is an entity of its own to the evaluator, which has the tiles of the
event's ring and those of the batch's earlier events of that ring; they are merged once, when the batch is done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.distinct import Items
from streaming.events import Chunk
from streaming.parts import I64, INT_MIN
from streaming.tiles import Tiles

Spread = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sight:
    """Which of a batch's events each event sees, and when.

    `entity` is the number of each event's ring; `fresh` says which events their ring lacks. `at` is the moment
    (ms) of each event: the newest event time so far. `event` and `seen` are pairs of rows.
    """

    entity: np.ndarray
    fresh: np.ndarray
    at: np.ndarray
    event: np.ndarray
    seen: np.ndarray

    def before(self) -> Sight:
        """The same moments, without the events themselves."""
        other = self.event != self.seen
        return Sight(self.entity, self.fresh, self.at, self.event[other], self.seen[other])


def in_turn(entity: np.ndarray, time: np.ndarray, fresh: np.ndarray, newest: np.ndarray) -> Sight:
    """Every event sees the fresh ones of its entity up to itself. `newest` (ms) is each ring's newest event."""
    at, latest = np.empty(len(entity), I64), newest.tolist()
    columns = (entity.tolist(), time.tolist(), fresh.tolist())
    for row, (e, t, new) in enumerate(zip(*columns, strict=True)):
        if new and t > latest[e]:
            latest[e] = t
        at[row] = latest[e]
    order = np.argsort(entity, kind="stable")
    new = order[fresh[order]]
    count = np.cumsum(fresh[order])
    upto = np.empty(len(entity), I64)
    upto[order] = count
    begin = np.searchsorted(entity[new], entity)
    event, place = spread(begin, upto - begin)
    return Sight(entity, fresh, at, event, new[place])


def alone(entity: np.ndarray, time: np.ndarray, fresh: np.ndarray, newest: np.ndarray) -> Sight:
    """Every event sees its ring and, if that lacks it, itself."""
    at = np.maximum(newest[entity], np.where(fresh, time, INT_MIN))
    rows = np.flatnonzero(fresh)
    return Sight(entity, fresh, at, rows, rows)


def joined(rings: Tiles, chunk: Chunk, sight: Sight, count: int) -> Tiles:
    """The tiles that each event sees, unmerged, with the event's row as entity; `count` is the number of rings."""
    event, row = _of(rings.entity, sight.entity, count)
    columns = {
        name: np.concatenate([column[row], chunk.tiles.columns[name][sight.seen]])
        for name, column in rings.columns.items()
    }
    return Tiles(
        np.concatenate([event, sight.event]),
        np.concatenate([rings.start[row], chunk.tiles.start[sight.seen]]),
        columns,
        _items(rings.items, chunk.tiles.items, sight, count),
    )


def _items(held: Items, own: Items, sight: Sight, count: int) -> Items:
    if not len(held) and not len(own):
        return Items.none()
    event, row = _of(held.entity, sight.entity, count)
    order = np.argsort(own.entity, kind="stable")
    pair, place = _of(own.entity[order], sight.seen, len(sight.entity))
    chosen = order[place]
    return Items(
        np.concatenate([event, sight.event[pair]]),
        np.concatenate([held.start[row], own.start[chosen]]),
        np.concatenate([held.slot[row], own.slot[chosen]]),
        np.concatenate([held.hash[row], own.hash[chosen]]),
    )


def _of(owner: np.ndarray, wanted: np.ndarray, count: int) -> Spread:
    """For each of `wanted` the rows that it owns (`owner` ascending): numbers of `wanted`, and rows."""
    first = np.searchsorted(owner, np.arange(count + 1))
    return spread(first[wanted], np.diff(first)[wanted])


def spread(low: np.ndarray, size: np.ndarray) -> Spread:
    """The rows of every range, range after range, after each row's range."""
    number = np.repeat(np.arange(len(low)), size)
    return number, np.arange(len(number)) + np.repeat(low - (np.cumsum(size) - size), size)
