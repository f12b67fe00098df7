"""Parts: the mergeable intermediates of a tile, one small class each.

Every part answers three questions. Which columns does it occupy in a tile (`fields`)? What is it for
a single event (`lift`)? How do several tiles become one (`reduce`)? Merging is associative and commutative, and an empty tile changes
nothing, so tiles may be merged in any order and any number of times.

Columns are numpy arrays with one value a tile, named `<column>:<part>`, plus a suffix where a part
needs several. A hash set (`distinct`) has no column: its hashes are items, see `streaming.distinct`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from streaming.plan import Slot

if TYPE_CHECKING:
    from streaming.table import Table

INT_MIN, INT_MAX = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)
UINT_MAX = int(np.iinfo(np.uint64).max)
F64, I64, U64, TEXT = np.dtype("f8"), np.dtype("i8"), np.dtype("u8"), np.dtype("O")
DTYPES = {"f64": F64, "i64": I64, "str": TEXT}


@dataclass(frozen=True)
class Field:
    """One column of a tile; `empty` is its value in a tile without events. Text is bytes or None."""

    name: str
    dtype: np.dtype
    empty: Any


@dataclass(frozen=True)
class Values:
    """A column of raw events: `data` and whether each is present (nulls, NaN and infinities are not).

    `checked` says that NaN and infinities were looked for.
    """

    data: np.ndarray
    valid: np.ndarray
    checked: bool = False

    def take(self, rows: np.ndarray) -> Values:
        """Those of `rows`."""
        return Values(self.data[rows], self.valid[rows], self.checked)

    def finite(self) -> Values:
        """With NaN and infinities as nulls."""
        if self.checked or self.data.dtype.kind != "f":
            return self
        finite = np.isfinite(self.data)
        return Values(self.data, self.valid if finite.all() else self.valid & finite, checked=True)


class Groups:
    """Consecutive runs of rows to be merged: run i begins at row `starts[i]`; no run is empty."""

    def __init__(self, starts: np.ndarray, rows: int) -> None:
        self.starts = starts
        self.rows = rows

    @cached_property
    def sizes(self) -> np.ndarray:
        return np.concatenate([self.starts[1:], [self.rows]]) - self.starts

    def spread(self, values: np.ndarray) -> np.ndarray:
        """A value per group, repeated for each of its rows."""
        return np.repeat(values, self.sizes)

    def first_where(self, flags: np.ndarray) -> np.ndarray:
        """Row number of the first flagged row of each group; each group has one."""
        hits = np.flatnonzero(flags)
        return hits[np.searchsorted(hits, self.starts)]


class Part:
    """Base of all parts; a subclass without state columns overrides nothing but what it needs."""

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        """The columns of `slot` in a tile."""
        raise NotImplementedError

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        """The columns of tiles that hold one event each; `order` is `order_key` of the events."""
        raise NotImplementedError

    def ufunc(self, slot: Slot) -> np.ufunc | None:
        """What merges the column of `slot`, if a ufunc does: `reduce` is not asked then."""
        return None

    def reduce(self, slots: Sequence[Slot], table: Table, groups: Groups, done: Table) -> None:
        """Merge the rows of each group into `done`, which holds what ufuncs reduced to; of every slot at once."""
        raise NotImplementedError


class _Total(Part):
    """A number that adds up."""

    dtype: np.dtype = F64

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        return (Field(slot.name, self.dtype, self.dtype.type(0)),)

    def ufunc(self, slot: Slot) -> np.ufunc:
        return np.add


class Rows(_Total):
    """How many events, whatever they hold."""

    dtype = I64

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {slot.name: np.ones(len(values.valid), I64)}


class N(_Total):
    """How many events have a value in the column."""

    dtype = I64

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {slot.name: values.valid.astype(I64)}


class Sum(_Total):
    """Sum of the column's values as float64, added up within each group alone."""

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {slot.name: np.where(values.valid, values.data, 0).astype(F64, copy=False)}


class M2(Part):
    """Sum of squared deviations from the mean; the tile also holds `n` and `sum` of the column.

    Merged after Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979), for many groups at once: M2 = sum M2_i + sum n_i (mean_i - mean)^2.
    The relative error is about the rounding error of the mean over the standard deviation, so
    1e-9 holds up to a mean of a million standard deviations; a plain sum of squares keeps nothing there.
    """

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        return (Field(slot.name, F64, 0.0),)

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {slot.name: np.zeros(len(values.valid), F64)}

    def reduce(self, slots: Sequence[Slot], table: Table, groups: Groups, done: Table) -> None:
        n, sums, squares = ([f"{slot.column}:{part}" for slot in slots] for part in ("n", "sum", "m2"))
        count = table.stacked(n, I64)
        mean = table.stacked(sums, F64) / np.maximum(count, 1)
        group_mean = done.stacked(sums, F64) / np.maximum(done.stacked(n, I64), 1)
        deviation = mean - np.repeat(group_mean, groups.sizes, axis=1)
        total = table.stacked(squares, F64) + count * deviation * deviation
        for name, merged in zip(squares, np.add.reduceat(total, groups.starts, axis=1), strict=True):
            done.put(name, merged)


class _Extreme(Part):
    """Smallest or largest value, in the column's own type."""

    def __init__(self, function: str, of_floats: np.ufunc, of_ranks: np.ufunc, none: int) -> None:
        self.function = function
        self.of_floats = of_floats
        self.of_ranks = of_ranks
        self.none = none

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        empty = {"f64": np.nan, "i64": self.none, "str": None}[slot.kind]
        return (Field(slot.name, DTYPES[slot.kind], empty),)

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        (field,) = self.fields(slot)
        return {slot.name: _or_empty(values, field)}

    def ufunc(self, slot: Slot) -> np.ufunc | None:
        return {"f64": self.of_floats, "i64": self.of_ranks, "str": None}[slot.kind]

    def reduce(self, slots: Sequence[Slot], table: Table, groups: Groups, done: Table) -> None:
        for slot in slots:
            words, ranks = _ranked(table[slot.name], self.none)
            best = self.of_ranks.reduceat(ranks, groups.starts)
            chosen = np.full(len(best), None, TEXT)
            chosen[best != self.none] = words[best[best != self.none]]
            done.put(slot.name, chosen)


class _Edge(Part):
    """The value of the first or last event that has one, with that event's place beside it."""

    def __init__(self, function: str, pick: np.ufunc, no_high: int, no_low: int) -> None:
        self.function = function
        self.pick = pick
        self.no_high = no_high
        self.no_low = no_low

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        empty = {"f64": np.nan, "i64": 0, "str": None}[slot.kind]
        return (
            Field(slot.name, DTYPES[slot.kind], empty),
            Field(f"{slot.name}.hi", I64, self.no_high),
            Field(f"{slot.name}.lo", U64, self.no_low),
        )

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        value, high, low = self.fields(slot)
        return {
            value.name: _or_empty(values, value),
            high.name: _or_empty(Values(order[0], values.valid), high),
            low.name: _or_empty(Values(order[1], values.valid), low),
        }

    def reduce(self, slots: Sequence[Slot], table: Table, groups: Groups, done: Table) -> None:
        for slot in slots:
            names = [field.name for field in self.fields(slot)]
            high, low = table[names[1]], table[names[2]]
            tied = high == groups.spread(self.pick.reduceat(high, groups.starts))
            low = np.where(tied, low, np.uint64(self.no_low))
            tied &= low == groups.spread(self.pick.reduceat(low, groups.starts))
            chosen = groups.first_where(tied)
            for name in names:
                done.put(name, table[name][chosen])


class Distinct(Part):
    """The smallest 64-bit hashes of the column's values; held as items, not as a column."""

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        return ()

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {}


PARTS: dict[str, Part] = {
    "rows": Rows(),
    "n": N(),
    "sum": Sum(),
    "m2": M2(),
    "min": _Extreme("min", np.fmin, np.minimum, INT_MAX),
    "max": _Extreme("max", np.fmax, np.maximum, INT_MIN),
    "first": _Edge("first", np.minimum, INT_MAX, UINT_MAX),
    "last": _Edge("last", np.maximum, INT_MIN, 0),
    "distinct": Distinct(),
}


def fields(slots: Iterable[Slot]) -> tuple[Field, ...]:
    """All columns of a tile with these slots, in storage order."""
    return _fields(tuple(slots))


@lru_cache(maxsize=256)
def _fields(slots: tuple[Slot, ...]) -> tuple[Field, ...]:
    return tuple(field for slot in slots for field in PARTS[slot.part].fields(slot))


def order_key(micros: np.ndarray, partition: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of events as numbers of 128 bits, in two halves (int64, uint64): event time, Kafka partition, offset.

    `micros` is the event time in microseconds since the epoch; offsets stay below 10^14.
    """
    number = micros.astype(TEXT) * 10**19 + partition.astype(TEXT) * 10**14 + offset.astype(TEXT)
    return (number >> 64).astype(I64), (number & UINT_MAX).astype(U64)


def _or_empty(values: Values, field: Field) -> np.ndarray:
    if values.data.dtype == field.dtype != TEXT:
        return np.where(values.valid, values.data, field.dtype.type(field.empty))
    filled = np.full(len(values.valid), field.empty, field.dtype)
    filled[values.valid] = values.data[values.valid]
    return filled


def _ranked(values: np.ndarray, none: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct texts in byte order and each row's index among them, `none` where there is none."""
    present = np.array([value is not None for value in values], bool)
    words, inverse = np.unique(values[present], return_inverse=True)
    ranks = np.full(len(values), none, I64)
    ranks[present] = inverse
    return words, ranks
