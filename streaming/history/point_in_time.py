"""The features of a view at many moments of many entities, by columns.

For every window the rows of a moment are a range of the sorted rows; it begins at a multiple of the slide, found by
bisection, and ends where the moment says. Counts and sums come from prefix sums, min and max from doubling tables, first
and last from the nearest row that has a value, distinct counts from a wavelet matrix. No event is copied
per window, so memory and time do not depend on how many events a window holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from streaming import distinct, parts
from streaming.aggregates import aggregate
from streaming.evaluation import Evaluator, Features, since
from streaming.history import dominance
from streaming.history.block import Asked, Block
from streaming.history.extremes import Ranges
from streaming.history.sums import (
    LARGE,
    SMALL,
    Prefix,
    Runs,
    squared_deviations,
    two_product_error,
    two_sum_error,
)
from streaming.parts import I64
from streaming.plan import Slot, View
from streaming.tiles import Tiles

CHUNK = 16_384
"""Moments summed at once: what is between is to stay in the processor's cache."""
Sees = Callable[[np.ndarray, np.ndarray], np.ndarray]
SUMMED, DEVIATING = 1e-12, 1e-23
"""How exact sums are, of the smallest number; a mean of a million deviations must still leave the deviations."""
GATHERED = 1_000_000
"""Rows that are copied at once where ranges will not do."""
UFUNCS = {
    ("min", "f64"): np.fmin,
    ("max", "f64"): np.fmax,
    ("min", "i64"): np.minimum,
    ("max", "i64"): np.maximum,
}


@dataclass(frozen=True)
class Kernel:
    """Computes the features of one view; build it once and keep it."""

    view: View

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.view)

    def __call__(self, block: Block, asked: Asked) -> Features:
        """Features at each moment asked for. `asked` is sorted by entity and time, `block` as it says."""
        odd = self._odd(block)
        if odd is None:
            return self._ranges(block, asked)
        apart = odd[asked.entity]
        plain, other = np.flatnonzero(~apart), np.flatnonzero(apart)
        calm = replace(block, tiles=_calmed(block.tiles, odd))
        return joined(
            self.view,
            len(asked),
            [
                (plain, self._ranges(calm, asked.take(plain))),
                (other, self.gathered(block, asked.take(other))),
            ],
        )

    def gathered(self, block: Block, asked: Asked, sees: Sees | None = None) -> Features:
        """The same by copying every moment's rows and merging them as the online engine merges its tiles.

        `sees(moments, rows)` says of pairs of them whether the row counts for the moment.
        """
        if not len(asked):
            return _none(self.view)
        low = self._lows(block, asked).min(axis=1)
        ends = np.cumsum(asked.high - low)
        pieces, begin = [], 0
        while begin < len(asked):
            done = int(ends[begin - 1]) if begin else 0
            end = max(int(np.searchsorted(ends, done + GATHERED, side="right")), begin + 1)
            moments = np.arange(begin, end)
            pieces.append((moments, self._copied(block, asked, low, moments, sees)))
            begin = end
        return joined(self.view, len(asked), pieces)

    def _copied(
        self, block: Block, asked: Asked, low: np.ndarray, moments: np.ndarray, sees: Sees | None
    ) -> Features:
        number, rows = _spread(low[moments], asked.high[moments] - low[moments])
        if sees is not None:
            seen = sees(moments[number], rows)
            number, rows = number[seen], rows[seen]
        held, items = block.tiles, block.tiles.items
        columns = held.columns.take(rows)
        if len(items):
            first, last = np.searchsorted(block.item_row, np.stack([rows, rows + 1]))
            of, chosen = _spread(first, last - first)
            items = distinct.Items(number[of], items.start[chosen], items.slot[chosen], items.hash[chosen])
        return self.evaluator(Tiles(number, held.start[rows], columns, items), asked.time[moments] // 1000)

    def _odd(self, block: Block) -> np.ndarray | None:
        """Entities with numbers whose squares or sums may leave float64; None when there are none."""
        sums = [name for name in block.tiles.columns if name.endswith((":sum", ":m2"))]
        odd = None
        for name in sums:
            size = np.abs(block.tiles.columns[name])
            bad = ~(size <= LARGE) | ((size < SMALL) & (size > 0))
            if bad.any():
                odd = np.zeros(block.entities, bool) if odd is None else odd
                odd[block.tiles.entity[bad]] = True
        return odd

    def _lows(self, block: Block, asked: Asked) -> np.ndarray:
        """The first row of each window at each moment, int64[moments, windows]."""
        entity, start = block.tiles.entity, block.tiles.start
        time = asked.time // 1000
        begins = since(self.view.windows, time)
        oldest = int(start.min()) if len(start) else 0
        span = max(int(time.max()), int(start.max(initial=oldest))) - oldest + 2
        rows = entity * span + (start - oldest)
        wanted = np.clip(begins - oldest, 0, span - 1) + asked.entity[:, None] * span
        result = np.empty(wanted.shape, I64)
        for window in range(wanted.shape[1]):
            result[:, window] = np.searchsorted(rows, wanted[:, window])
        return np.minimum(result, asked.high[:, None], out=result)

    def _ranges(self, block: Block, asked: Asked) -> Features:
        if not len(asked):
            return _none(self.view)
        return self._final(self._merged(block, self._lows(block, asked).T.copy(), asked.high))

    def _merged(self, block: Block, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
        """Intermediates of every window by field name, [windows, moments]."""
        columns = block.tiles.columns
        result: dict[str, np.ndarray] = {}
        slots = self.view.slots
        for slot in slots:
            if slot.part in ("rows", "n"):
                result[slot.name] = _counted(columns[slot.name], low, high)
        result.update(self._summed(columns, low, high, result))
        extremes = [slot for slot in slots if slot.part in ("min", "max")]
        if extremes:
            result.update(_extremes(extremes, columns, Ranges(low, np.broadcast_to(high, low.shape))))
        for slot in slots:
            if slot.part in ("first", "last"):
                result.update(_edge(slot, columns, low, high))
        for number, slot in enumerate(slots):
            if slot.part == "distinct":
                result[slot.name] = _distinct(block, number, low, high, self.view.distinct_k)
        return result

    def _summed(
        self,
        columns: Mapping[str, np.ndarray],
        low: np.ndarray,
        high: np.ndarray,
        counts: Mapping[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        result = {}
        for slot in self.view.slots:
            if slot.part != "sum":
                continue
            squared = f"{slot.column}:m2" if f"{slot.column}:m2" in columns else ""
            sums = Prefix.of(columns[slot.name], relative=DEVIATING if squared else SUMMED)
            total = result[slot.name] = np.empty(low.shape)
            if squared:
                squares = _squares(columns, slot.column)
                runs = Runs.of(columns[slot.name], columns[f"{slot.column}:n"], columns[squared])
                deviations = result[squared] = np.empty(low.shape)
                n = counts[f"{slot.column}:n"]
            for window in range(len(low)):
                for a in range(0, low.shape[1], CHUNK):
                    part = (window, slice(a, a + CHUNK))
                    sum_ = sums.between(low[part], high[part[1]])
                    total[part] = sum_[0]
                    if squared:
                        found = squared_deviations(n[part], sum_, squares.between(low[part], high[part[1]]))
                        found[runs.equal(low[part], high[part[1]])] = 0.0
                        deviations[part] = found
        return result

    def _final(self, merged: Mapping[str, np.ndarray]) -> Features:
        values, valid = {}, {}
        windows = {window: number for number, window in enumerate(self.view.windows)}
        for feature in self.view.features:
            inputs = {
                name.rpartition(":")[2]: column[windows[feature.window]]
                for name, column in merged.items()
                if name.rpartition(":")[0] == feature.column
            }
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                column, known = aggregate(feature.function).final(inputs)
                if feature.dtype == "FLOAT":
                    known = known & np.isfinite(column.astype(np.float32))
            values[feature.name], valid[feature.name] = column, known
        return Features(values, valid)


def _spread(low: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of every range, range after range, and each row's range."""
    number = np.repeat(np.arange(len(low)), size)
    return number, np.arange(len(number)) + np.repeat(low - (np.cumsum(size) - size), size)


def joined(view: View, count: int, pieces: list[tuple[np.ndarray, Features]]) -> Features:
    """Features of `count` moments from those of parts of them; each part comes with its rows."""
    pieces = [piece for piece in pieces if len(piece[0])]
    if not pieces:
        return _none(view)
    values, valid = {}, {}
    for feature in view.features:
        name = feature.name
        column, known = np.empty(count, pieces[0][1].values[name].dtype), np.zeros(count, bool)
        for rows, features in pieces:
            column[rows], known[rows] = features.values[name], features.valid[name]
        values[name], valid[name] = column, known
    return Features(values, valid)


def _none(view: View) -> Features:
    nothing = {f.name: np.empty(0) for f in view.features}
    return Features(nothing, {name: np.empty(0, bool) for name in nothing})


def _calmed(tiles: Tiles, odd: np.ndarray) -> Tiles:
    """The tiles with zeros for the sums of odd entities."""
    columns = replace(tiles.columns, words=tiles.columns.words.copy())
    for name in columns:
        if name.endswith((":sum", ":m2")):
            columns[name][odd[tiles.entity]] = 0.0
    return replace(tiles, columns=columns)


def _counted(counts: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    if (counts == 1).all():
        return high - low
    total = np.concatenate([[0], np.cumsum(counts)])
    return total[high] - total[low]


def _squares(columns: Mapping[str, np.ndarray], column: str) -> Prefix:
    """Prefix sums of squares; those of a tile's values are its M2 and n times its squared mean."""
    total, n, m2 = (columns[f"{column}:{part}"] for part in ("sum", "n", "m2"))
    square = total * total
    error = two_product_error(total, total, square)
    many = np.flatnonzero(n > 1)
    if len(many):
        count = n[many].astype(np.float64)
        share = square[many] / count
        back = share * count
        rest = (square[many] - back) - two_product_error(share, count, back) + error[many]
        square[many] = share + m2[many]
        error[many] = rest / count + two_sum_error(share, m2[many], square[many])
    return Prefix.of(square, error, relative=DEVIATING)


def _extremes(slots: list[Slot], columns: Mapping[str, np.ndarray], ranges: Ranges) -> dict[str, np.ndarray]:
    wanted: dict[str, tuple[np.ufunc, np.ndarray]] = {}
    empty: dict[str, object] = {}
    words: dict[str, np.ndarray] = {}
    for slot in slots:
        (field,) = parts.fields([slot])
        values, kind = columns[slot.name], slot.kind
        none = field.empty
        if kind == "str":
            none = parts.INT_MAX if slot.part == "min" else parts.INT_MIN
            words[slot.name], values = parts._ranked(values, none)
            kind = "i64"
        wanted[slot.name] = UFUNCS[slot.part, kind], values
        empty[slot.name] = none
    found = ranges.best(wanted, empty)
    for name, texts in words.items():
        known = found[name] != empty[name]
        chosen = np.full(known.shape, None, parts.TEXT)
        chosen[known] = texts[found[name][known]]
        found[name] = chosen
    return found


def _edge(
    slot: Slot, columns: Mapping[str, np.ndarray], low: np.ndarray, high: np.ndarray
) -> dict[str, np.ndarray]:
    value, place, _ = parts.fields([slot])
    held, places = columns[value.name], columns[place.name]
    count = len(held)
    row = np.where(places != place.empty, np.arange(count), count if slot.part == "first" else -1)
    if slot.part == "first":
        nearest = np.minimum.accumulate(row[::-1])[::-1]
        found = np.append(nearest, count)[low]
        known = found < high
    else:
        nearest = np.maximum.accumulate(row)
        found = np.broadcast_to(np.append(nearest, -1)[high - 1], low.shape)
        known = (found >= low) & (low < high)
    found = np.where(known, found, 0)
    if not count:
        return {value.name: np.zeros(low.shape, held.dtype), place.name: np.full(low.shape, place.empty, I64)}
    return {value.name: held[found], place.name: np.where(known, places[found], place.empty)}


def _distinct(block: Block, number: int, low: np.ndarray, high: np.ndarray, k: int) -> np.ndarray:
    mine = np.flatnonzero(block.tiles.items.slot == number)
    values = dominance.Values(block.tiles.items.entity[mine], block.tiles.items.hash[mine])
    rows = block.item_row[mine]
    before = np.searchsorted(rows, np.arange(len(block) + 1))
    result = np.empty(low.shape, I64)
    last = before[high]
    for window in range(len(low)):
        first = before[low[window]]
        count = values.count(first, last)
        many = np.flatnonzero(count > k)
        smallest = np.zeros(len(count), np.uint64)
        if len(many):
            smallest[many] = values.smallest(first[many], last[many], count[many], k)
        result[window] = dominance.estimate(count, smallest, k)
    return result
