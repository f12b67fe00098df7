"""Features of one view as of each event of a batch: every event is answered from what came before it, and itself.

No ring is merged event by event. Each event is an entity of its own to the evaluator, which has the tiles of the
event's ring and those of the batch's earlier events of that ring; they are merged once, when the batch is done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.distinct import Items, concat
from streaming.evaluation import Shared
from streaming.parts import I64, INT_MIN
from streaming.table import Table
from streaming.tiles import Tiles

Spread = tuple[np.ndarray, np.ndarray]
_NONE = np.empty(0, I64)


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


def seen(rings: Tiles, own: Items, sight: Sight, count: int) -> Shared:
    """Whose the tiles of `count` rings are, sorted by ring, and behind them those of the events, each its own."""
    event, tile = _shared(rings.entity, sight.entity, count, sight.event, sight.seen + len(rings))
    if not len(rings.items) and not len(own):
        return Shared(event, tile, _NONE, _NONE)
    order = np.argsort(own.entity, kind="stable")
    pair, place = _of(own.entity[order], sight.seen, len(sight.entity))
    items = order[place] + len(rings.items)
    return Shared(event, tile, *_shared(rings.items.entity, sight.entity, count, sight.event[pair], items))


def _shared(owner: np.ndarray, ring: np.ndarray, count: int, event: np.ndarray, own: np.ndarray) -> Spread:
    """For each event the rows of its ring, and what is its `own`, event by event."""
    events, rows = _of(owner, ring, count)
    event = np.concatenate([events, event])
    order = np.argsort(event, kind="stable")
    return event[order], np.concatenate([rows, own])[order]


def _of(owner: np.ndarray, wanted: np.ndarray, count: int) -> Spread:
    """For each of `wanted` the rows that it owns (`owner` ascending): numbers of `wanted`, and rows."""
    first = np.searchsorted(owner, np.arange(count + 1))
    return spread(first[wanted], first[wanted + 1] - first[wanted])


def together(rings: Tiles, own: Tiles) -> Tiles:
    """The tiles of rings and behind them those of the events; whose they are, `seen` says."""
    columns = Table.joined([rings.columns, own.columns])
    start = np.concatenate([rings.start, own.start])
    return Tiles(_NONE, start, columns, concat([rings.items, own.items]))


def spread(low: np.ndarray, size: np.ndarray) -> Spread:
    """The rows of every range, range after range, after each row's range."""
    number = np.repeat(np.arange(len(low)), size)
    return number, np.arange(len(number)) + np.repeat(low - (np.cumsum(size) - size), size)
