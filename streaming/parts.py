"""Parts: the mergeable intermediates of a tile, one small class each.

Every part answers three questions. Which columns does it occupy in a tile (`fields`)? What is it for
a single event (`lift`)? How do several tiles become one (`reduce`)? Merging is associative and commutative, and an empty tile changes
nothing, so tiles may be merged in any order and any number of times.

Columns are numpy arrays with one value a tile, named `<column>:<part>`, plus a suffix where a part
needs several. A hash set (`distinct`) has no column: its hashes are items, see `streaming.distinct`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from streaming.plan import Slot

INT_MIN, INT_MAX = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)
UINT_MAX = int(np.iinfo(np.uint64).max)
F64, I64, U64, TEXT = np.dtype("f8"), np.dtype("i8"), np.dtype("u8"), np.dtype("O")
DTYPES = {"f64": F64, "i64": I64, "str": TEXT}

Columns = Mapping[str, np.ndarray]


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

    def add(self, rows: np.ndarray) -> np.ndarray:
        return np.add.reduceat(rows, self.starts)

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

    def reduce(self, slot: Slot, columns: Columns, groups: Groups, done: Columns) -> dict[str, np.ndarray]:
        """Merge the rows of each group; `done` holds what the slots before this one reduced to."""
        raise NotImplementedError


class _Total(Part):
    """A number that adds up."""

    dtype: np.dtype = F64

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        return (Field(slot.name, self.dtype, self.dtype.type(0)),)

    def reduce(self, slot: Slot, columns: Columns, groups: Groups, done: Columns) -> dict[str, np.ndarray]:
        return {slot.name: groups.add(columns[slot.name])}


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


class M2(_Total):
    """Sum of squared deviations from the mean; the tile also holds `n` and `sum` of the column.

    Merged after Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979), for many groups at once: M2 = sum M2_i + sum n_i (mean_i - mean)^2.
    The relative error is about the rounding error of the mean over the standard deviation, so
    1e-9 holds up to a mean of a million standard deviations; a plain sum of squares keeps nothing there.
    """

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {slot.name: np.zeros(len(values.valid), F64)}

    def reduce(self, slot: Slot, columns: Columns, groups: Groups, done: Columns) -> dict[str, np.ndarray]:
        n_name, sum_name = f"{slot.column}:n", f"{slot.column}:sum"
        n = columns[n_name]
        mean = columns[sum_name] / np.maximum(n, 1)
        group_mean = done[sum_name] / np.maximum(done[n_name], 1)
        deviation = mean - groups.spread(group_mean)
        return {slot.name: groups.add(columns[slot.name] + n * deviation * deviation)}


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

    def reduce(self, slot: Slot, columns: Columns, groups: Groups, done: Columns) -> dict[str, np.ndarray]:
        values = columns[slot.name]
        if slot.kind == "f64":
            return {slot.name: self.of_floats.reduceat(values, groups.starts)}
        if slot.kind == "i64":
            return {slot.name: self.of_ranks.reduceat(values, groups.starts)}
        words, ranks = _ranked(values, self.none)
        best = self.of_ranks.reduceat(ranks, groups.starts)
        chosen = np.full(len(best), None, TEXT)
        chosen[best != self.none] = words[best[best != self.none]]
        return {slot.name: chosen}


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

    def reduce(self, slot: Slot, columns: Columns, groups: Groups, done: Columns) -> dict[str, np.ndarray]:
        names = [field.name for field in self.fields(slot)]
        high, low = columns[names[1]], columns[names[2]]
        tied = high == groups.spread(self.pick.reduceat(high, groups.starts))
        low = np.where(tied, low, np.uint64(self.no_low))
        tied &= low == groups.spread(self.pick.reduceat(low, groups.starts))
        chosen = groups.first_where(tied)
        return {name: columns[name][chosen] for name in names}


class Distinct(Part):
    """The smallest 64-bit hashes of the column's values; held as items, not as a column."""

    def fields(self, slot: Slot) -> tuple[Field, ...]:
        return ()

    def lift(self, slot: Slot, values: Values, order: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {}

    def reduce(self, slot: Slot, columns: Columns, groups: Groups, done: Columns) -> dict[str, np.ndarray]:
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
_LATER = ("m2",)


def fields(slots: Iterable[Slot]) -> tuple[Field, ...]:
    """All columns of a tile with these slots, in storage order."""
    return _fields(tuple(slots))


@lru_cache(maxsize=256)
def _fields(slots: tuple[Slot, ...]) -> tuple[Field, ...]:
    return tuple(field for slot in slots for field in PARTS[slot.part].fields(slot))


def reduce(slots: Iterable[Slot], columns: Columns, groups: Groups) -> dict[str, np.ndarray]:
    """Merge the rows of each group, for every slot."""
    many = np.flatnonzero(groups.sizes > 1)
    if 2 * len(many) > len(groups.starts):
        return _reduced(slots, columns, groups)
    # Most tiles of a ring meet no partner: they are copied, and only the others merged.
    merged = {name: column[groups.starts] for name, column in columns.items()}
    if len(many):
        sizes = groups.sizes[many]
        starts = np.cumsum(sizes) - sizes
        total = int(sizes.sum())
        rows = np.repeat(groups.starts[many] - starts, sizes) + np.arange(total)
        changed = _reduced(
            slots, {name: column[rows] for name, column in columns.items()}, Groups(starts, total)
        )
        for name, column in changed.items():
            merged[name][many] = column
    return merged


def _reduced(slots: Iterable[Slot], columns: Columns, groups: Groups) -> dict[str, np.ndarray]:
    done: dict[str, np.ndarray] = {}
    # A sum may overflow: it is then infinite, and its features null.
    with np.errstate(over="ignore", invalid="ignore"):
        for slot in sorted(slots, key=lambda slot: slot.part in _LATER):
            done.update(PARTS[slot.part].reduce(slot, columns, groups, done))
    return done


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
