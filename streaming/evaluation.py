"""From tiles to features: the value of every window at a moment, for many entities at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from streaming import distinct, table
from streaming.aggregates import aggregate
from streaming.distinct import Items
from streaming.parts import I64, Groups
from streaming.plan import View, Window
from streaming.table import Table

if TYPE_CHECKING:
    from streaming.tiles import Tiles

COMPACT_ABOVE = 4_096
"""Number of tiles from which those that lie in the same windows are merged before windows are formed."""


@dataclass(frozen=True)
class Features:
    """Values by feature name, one per entity, and which of them are valid (not null).

    A value that is not valid means nothing; one too large for a FLOAT is not. Types: int64, float64, or
    object (bytes).
    """

    values: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]


def since(windows: Sequence[Window], t: np.ndarray) -> np.ndarray:
    """First millisecond that each window covers at each time of `t`: int64[len(t), windows]."""
    lengths, slides = _spans(tuple(windows))
    return (t[:, None] // slides + 1) * slides - lengths


@lru_cache(maxsize=1024)
def _spans(windows: tuple[Window, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([w.length for w in windows], I64), np.array([w.slide for w in windows], I64)


@dataclass(frozen=True)
class Shared:
    """Whose some tiles are, where entities share them: pairs of `entity` (ascending) and `tile`, a row each.

    `owner` and `item` are the same of the hashes of the tiles.
    """

    entity: np.ndarray
    tile: np.ndarray
    owner: np.ndarray
    item: np.ndarray

    def items(self, items: Items) -> Items:
        """The hashes of each entity."""
        return Items(self.owner, items.start[self.item], items.slot[self.item], items.hash[self.item])

    def tiles(self, tiles: Tiles) -> Tiles:
        """The tiles of each entity, without their hashes."""
        return replace(
            tiles, entity=self.entity, start=tiles.start[self.tile], columns=tiles.columns.take(self.tile)
        )


class Evaluator:
    """Computes the features of one view; build it once and keep it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._reach = max(w.length for w in view.windows) + max(w.slide for w in view.windows) + 2
        self._schema = table.schema(view.slots)
        self._distinct = [(i, slot.name) for i, slot in enumerate(view.slots) if slot.part == "distinct"]
        pairs = list(dict.fromkeys((aggregate(f.function), f.column) for f in view.features))
        self._finals = [(function, self._inputs(column)) for function, column in pairs]
        self._features = [
            (f, pairs.index((aggregate(f.function), f.column)), view.windows.index(f.window))
            for f in view.features
        ]

    def _inputs(self, column: str) -> dict[str, str]:
        """Stored name of each intermediate of `column`, by part name."""
        names = [*self._schema.place, *(name for _, name in self._distinct)]
        return {name.rpartition(":")[2]: name for name in names if name.rpartition(":")[0] == column}

    def __call__(self, tiles: Tiles, at: np.ndarray, shared: Shared | None = None) -> Features:
        """Features of each entity at the times `at` (ms, int64[entities]), not before its newest event.

        The same tile may occur several times in `tiles`, in any order. With `shared`, which says whose they are,
        `tiles.entity` means nothing.
        """
        begin = since(self.view.windows, at)
        merged = self._windows(tiles, begin, shared)
        columns = {name: column.reshape(begin.shape[::-1]) for name, column in merged.items()}
        if self._distinct:
            items = tiles.items if shared is None else shared.items(tiles.items)
            counts = distinct.count(items, [slot for slot, _ in self._distinct], begin, self.view.distinct_k)
            columns |= {name: held for (_, name), held in zip(self._distinct, counts, strict=True)}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            finals = [
                f.final({part: columns[name] for part, name in inputs.items()}) for f, inputs in self._finals
            ]
        values, valid = {}, {}
        for feature, index, window in self._features:
            column, known = finals[index]
            values[feature.name] = column = column[window]
            known = known[window]
            valid[feature.name] = known & _narrow(column) if feature.dtype == "FLOAT" else known
        return Features(values, valid)

    def _windows(self, tiles: Tiles, begin: np.ndarray, shared: Shared | None) -> Table:
        """What the tiles of each window of each entity merge to, window by window."""
        if shared is None and len(tiles) <= COMPACT_ABOVE and (tiles.entity[1:] >= tiles.entity[:-1]).all():
            return self._few(tiles, tiles.entity, begin)
        if shared is not None and len(shared.tile) <= COMPACT_ABOVE:
            return self._few(tiles, shared.entity, begin, shared.tile)
        return self._many(tiles if shared is None else shared.tiles(tiles), begin)

    def _few(
        self, tiles: Tiles, entity: np.ndarray, begin: np.ndarray, tile: np.ndarray | None = None
    ) -> Table:
        """By looking at each tile of each entity (ascending) for each window: cheap while there are few."""
        start = tiles.start if tile is None else tiles.start[tile]
        inside = start[:, None] >= begin[entity]
        upto = np.zeros((len(entity) + 1, begin.shape[1]), I64)
        np.cumsum(inside, axis=0, out=upto[1:])
        bound = np.searchsorted(entity, np.arange(len(begin) + 1))
        sizes = upto[bound[1:]] - upto[bound[:-1]]
        rows = np.nonzero(inside.T)[1]
        return self._merged(tiles.columns, rows if tile is None else tile[rows], sizes.T)

    def _many(self, tiles: Tiles, begin: np.ndarray) -> Table:
        """By sorting the tiles, so that each window is a range of them."""
        key, columns = self._sorted(tiles, begin)
        shift = np.arange(len(begin), dtype=I64)[:, None] * self._reach
        low = np.searchsorted(key, begin - begin.min(axis=1, keepdims=True) + shift + 1)
        high = np.searchsorted(key, shift + self._reach)
        if len(key) > COMPACT_ABOVE:
            columns, low, high = self._compacted(columns, low, high)
        sizes = (high - low).T
        ends = np.cumsum(sizes)
        rows = np.repeat(low.T.ravel() - ends + sizes.ravel(), sizes.ravel()) + np.arange(sizes.sum())
        return self._merged(columns, rows, sizes)

    def _merged(self, columns: Table, rows: np.ndarray, sizes: np.ndarray) -> Table:
        """Rows merged, the next `sizes` (int64[windows, entities]) of them for each window of each entity."""
        flat = sizes.ravel()
        filled = np.flatnonzero(flat)
        starts = (np.cumsum(flat) - flat)[filled]
        merged = columns.of_schema(self._schema).take(rows).reduce(Groups(starts, len(rows)))
        return merged if len(filled) == len(flat) else merged.spread(filled, len(flat))

    def _sorted(self, tiles: Tiles, begin: np.ndarray) -> tuple[np.ndarray, Table]:
        """A sortable number for each tile and the columns, both in the order of (entity, start)."""
        age = tiles.start - begin.min(axis=1)[tiles.entity]
        key = tiles.entity * self._reach + np.clip(age, -1, self._reach - 2) + 1
        if (key[1:] >= key[:-1]).all():
            return key, tiles.columns
        order = np.argsort(key, kind="stable")
        return key[order], tiles.columns.take(order)

    def _compacted(
        self, columns: Table, low: np.ndarray, high: np.ndarray
    ) -> tuple[Table, np.ndarray, np.ndarray]:
        """Rows between two neighbouring window ends merged into one."""
        cuts = np.unique(np.append(low, high))
        cuts = cuts[cuts < columns.rows]
        if not len(cuts):
            return columns, low, high
        held = columns.of_schema(self._schema).behind(int(cuts[0]))
        merged = held.reduce(Groups(cuts - cuts[0], held.rows))
        return merged, np.searchsorted(cuts, low), np.searchsorted(cuts, high)


def _narrow(values: np.ndarray) -> np.ndarray:
    """Which numbers float32 can hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isfinite(values.astype(np.float32))


def evaluate(view: View, tiles: Tiles, at: np.ndarray) -> Features:
    """Features of each entity at `at` (ms), which is not before its newest event; see `Evaluator`."""
    return _evaluator(view)(tiles, at)


_evaluator = lru_cache(maxsize=64)(Evaluator)
