"""Tiles: every event of an entity is held in exactly one, and tiles grow coarser as they age.

    base 5 s      1 min           1 h                    newest event
       <--- 1 h tiles ---><--- 1 min tiles ---><- 5 s tiles ->|
    ---|------------------|--------------------|-------------|
       7 d                1 h                  5 min         0       age

A window of length W and slide S at time t covers the event times from E - W to t, with
E = (t // S + 1) * S. A tile is aligned to the greatest common divisor of the slides of all windows
that cover it at the entity's newest event. Their left ends are multiples of their slides, so each
window holds a tile whole or not at all, then and at any later time. A tile that no window covers is
dropped. Any slides and lengths will do, and an event however late finds its own tile by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from streaming import distinct, parts, table
from streaming.distinct import Items
from streaming.errors import DefinitionError
from streaming.evaluation import Evaluator, Features, evaluate, since
from streaming.parts import I64, Groups, Values
from streaming.plan import Slot, View, Window
from streaming.table import Table

__all__ = [
    "FOLD_SLACK",
    "MAX_SLIDES",
    "Evaluator",
    "Features",
    "Tiles",
    "alignment",
    "concat",
    "evaluate",
    "fold",
    "lift",
    "merge",
    "split",
]

MAX_SLIDES = 20
FOLD_SLACK = 16
"""How many tiles of a head may be coarser than base before they are folded into the tail."""


@dataclass(frozen=True)
class Tiles:
    """Tiles of many entities, one row each.

    `entity` is the index of the entity in the chunk, `start` the tile's first millisecond, `columns`
    has the fields of the view's slots. `items` are the hashes of the tiles; each belongs
    to a tile in the same `Tiles`. Sorted by (entity, start) once merged.
    """

    entity: np.ndarray
    start: np.ndarray
    columns: Table
    items: Items

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: np.ndarray, items: np.ndarray) -> Tiles:
        """The tiles and items of these rows (indices or masks)."""
        return Tiles(self.entity[rows], self.start[rows], self.columns.take(rows), self.items.take(items))


def concat(slots: Sequence[Slot], tiles: Sequence[Tiles]) -> Tiles:
    """All rows of `tiles`, unmerged; a column that one of them lacks is empty there."""
    wanted = table.schema(tuple(slots))
    if len(tiles) == 1 and tiles[0].columns.schema is wanted:
        return tiles[0]
    return Tiles(
        np.concatenate([np.empty(0, I64), *(t.entity for t in tiles)]),
        np.concatenate([np.empty(0, I64), *(t.start for t in tiles)]),
        Table.joined([Table.room(wanted, 0), *(t.columns.of_schema(wanted) for t in tiles)]),
        distinct.concat([t.items for t in tiles]),
    )


def lift(
    view: View,
    entity: np.ndarray,
    time: np.ndarray,
    order: tuple[np.ndarray, np.ndarray],
    values: Mapping[str, Values],
    hashes: Mapping[str, np.ndarray] | None = None,
) -> Tiles:
    """One unmerged tile for every event.

    `time` is the event time in ms, `order` comes from `parts.order_key`, `values` has the view's columns;
    `hashes` (uint64) those that are counted distinct, where `values` says which are valid.
    """
    start = time - time % view.base
    nothing = Values(np.empty(len(time)), np.zeros(len(time), bool))
    columns: dict[str, np.ndarray] = {}
    items = []
    finite = {name: held.finite() for name, held in values.items()}
    for index, slot in enumerate(view.slots):
        given = finite[slot.column] if slot.column else nothing
        columns.update(parts.PARTS[slot.part].lift(slot, given, order))
        if slot.part == "distinct":
            rows = np.flatnonzero(given.valid)
            number = np.full(len(rows), index, np.uint16)
            items.append(Items(entity[rows], start[rows], number, (hashes or {})[slot.column][rows]))
    held = Table.of(table.schema(view.slots), columns, len(time))
    return Tiles(entity, start, held, distinct.concat(items))


def alignment(view: View, start: np.ndarray, newest: np.ndarray) -> np.ndarray:
    """What each tile is aligned to, in ms; 0 when no window covers it any more.

    `newest` is the newest event time of each tile's entity, one for each row.
    """
    return _alignment(view.windows, start, newest, np.arange(len(start)))


def _alignment(
    windows: tuple[Window, ...], start: np.ndarray, newest: np.ndarray, entity: np.ndarray
) -> np.ndarray:
    widest, divisors = _slides(windows)
    covered = np.zeros(len(start), I64)
    for bit, bound in enumerate(since(widest, newest).T):
        covered |= (start >= bound[entity]).astype(I64) << bit
    return divisors[covered]


@lru_cache(maxsize=256)
def _slides(windows: tuple[Window, ...]) -> tuple[tuple[Window, ...], np.ndarray]:
    """The longest window of each slide, and the divisor for each set of them (a bit each)."""
    longest: dict[int, Window] = {}
    for window in sorted(windows, key=lambda w: w.length):
        longest[window.slide] = window
    widest = tuple(longest.values())
    if len(widest) > MAX_SLIDES:
        raise DefinitionError(
            f"a view has {len(widest)} different slides, at most {MAX_SLIDES} are possible: split it into two views"
        )
    divisors = np.zeros(1, I64)
    for window in widest:
        divisors = np.concatenate([divisors, np.gcd(divisors, window.slide)])
    return widest, divisors


def merge(view: View, tiles: Sequence[Tiles], newest: np.ndarray) -> Tiles:
    """Align all tiles to `newest[entity]`, drop those no window covers, and combine equal ones.

    `newest` (int64[entities]) is the newest event time of each entity, these tiles' events included.
    The result is sorted by (entity, start), with one row for each.
    """
    joined = concat(view.slots, tiles)
    entity, start, kept = _align(view, joined.entity, joined.start, newest)
    key = _key(view, entity, start, newest)
    order = None if (key[1:] >= key[:-1]).all() else np.argsort(key, kind="stable")
    rows = kept if order is None else kept[order]
    key = key if order is None else key[order]
    starts = np.flatnonzero(distinct.changes(key))
    combined = joined.columns.take(rows).reduce(Groups(starts, len(rows)))
    heads = starts if order is None else order[starts]
    items = joined.items
    if len(items):
        e, s, held = _align(view, items.entity, items.start, newest)
        items = distinct.merge(Items(e, s, items.slot[held], items.hash[held]), view.distinct_k)
    return Tiles(entity[heads], start[heads], combined, items)


def _align(
    view: View, entity: np.ndarray, start: np.ndarray, newest: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entity and aligned start of the rows that some window covers, and which rows these are."""
    align = _alignment(view.windows, start, newest, entity)
    kept = np.flatnonzero(align)
    entity, start, align = entity[kept], start[kept], align[kept]
    return entity, start - start % align, kept


def _key(view: View, entity: np.ndarray, start: np.ndarray, newest: np.ndarray) -> np.ndarray:
    """One sortable number per covered tile: (entity, start)."""
    reach = max(w.length for w in view.windows) + max(w.slide for w in view.windows)
    return entity * (2 * reach) + (start - newest[entity] + reach)


def fold(view: View, head: Tiles, newest: np.ndarray) -> np.ndarray:
    """Which entities must have their tail read and rewritten, bool[entities].

    They have at least FOLD_SLACK tiles in `head` (merged) that are coarser than base.
    """
    coarse = _alignment(view.windows, head.start, newest, head.entity) > view.base
    return np.bincount(head.entity[coarse], minlength=len(newest)) >= FOLD_SLACK


def split(view: View, tiles: Tiles, newest: np.ndarray, folded: np.ndarray) -> tuple[Tiles, Tiles]:
    """Merged tiles as (head, tail): for `folded` entities the tail has all that is coarser than base.

    The other entities keep everything in the head; their part of the tail is empty, and not to be written.
    """
    if not folded.any():
        nothing = np.empty(0, I64)
        return tiles, tiles.take(nothing, nothing)

    def old(entity: np.ndarray, start: np.ndarray) -> np.ndarray:
        return folded[entity] & (_alignment(view.windows, start, newest, entity) > view.base)

    rows, items = old(tiles.entity, tiles.start), old(tiles.items.entity, tiles.items.start)
    return tiles.take(~rows, ~items), tiles.take(rows, items)
