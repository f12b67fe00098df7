"""Aggregates: the functions a feature may name. Each says which parts it keeps and how they end.

To add one, write a class with `slots` and `final` and add it to `AGGREGATES`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streaming.errors import DefinitionError
from streaming.parts import INT_MAX, INT_MIN, PARTS, Part
from streaming.plan import Kind, PartName, Slot

Final = tuple[np.ndarray, np.ndarray]
"""Values and whether each is valid (not null), of one shape; a value that is not valid means nothing."""


class Aggregate:
    """A function over a column: `parts` are what its tiles keep, `column` whether it needs one."""

    name: str
    parts: tuple[PartName, ...]
    numeric: bool = True

    def slots(self, column: str, kind: Kind) -> tuple[Slot, ...]:
        """The intermediates of this function over `column`, whose values are of `kind`.

        Raises DefinitionError when the function cannot be computed over that kind.
        """
        if not column:
            raise DefinitionError(f"{self.name} needs a column: name one in the Aggregation")
        if self.numeric and kind == "str":
            raise DefinitionError(
                f"{self.name} of {column} is not defined, it holds text: use count, count_distinct, "
                "min, max, first or last, or cast it to a number in the view's udf"
            )
        return tuple(Slot(part, column, kind) for part in self.parts)

    def result(self, kind: Kind) -> Kind:
        """The kind of the result over a column of `kind`."""
        return "f64"

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        """Result of merged intermediates, by part name (`first.hi` for a part's further fields)."""
        raise NotImplementedError


class Count(Aggregate):
    """Non-null values of the column, or events when no column is named; 0 of nothing."""

    name, parts, numeric = "count", ("n",), False

    def slots(self, column: str, kind: Kind) -> tuple[Slot, ...]:
        return super().slots(column, kind) if column else (Slot("rows", "", "i64"),)

    def result(self, kind: Kind) -> Kind:
        return "i64"

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        return _always(tile["n"] if "n" in tile else tile["rows"])


class Sum(Aggregate):
    """Sum as float64; 0 of nothing."""

    name, parts = "sum", ("sum",)

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        return tile["sum"], np.isfinite(tile["sum"])


class Mean(Aggregate):
    """Arithmetic mean as float64; null of nothing."""

    name, parts = "mean", ("n", "sum")

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        mean = tile["sum"] / np.maximum(tile["n"], 1)
        return mean, (tile["n"] > 0) & np.isfinite(mean)


class Variance(Aggregate):
    """Variance or its root; `lost` is 1 for the sample form (null below two values), else 0."""

    parts = ("n", "sum", "m2")

    def __init__(self, name: str, lost: int, root: bool) -> None:
        self.name, self.lost, self.root = name, lost, root

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        value = tile["m2"] / np.maximum(tile["n"] - self.lost, 1)
        if self.root:
            value = np.sqrt(value)
        return value, (tile["n"] > self.lost) & np.isfinite(value)


class Extreme(Aggregate):
    """Smallest or largest value in the column's own type; text compares by its UTF-8 bytes."""

    numeric = False

    def __init__(self, name: PartName, none: int) -> None:
        self.name, self.parts, self.none = name, (name,), none

    def slots(self, column: str, kind: Kind) -> tuple[Slot, ...]:
        # Every int64 is a possible value, so only a count tells an empty tile from an extreme one.
        return super().slots(column, kind) + ((Slot("n", column, kind),) if kind == "i64" else ())

    def result(self, kind: Kind) -> Kind:
        return kind

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        value = tile[self.name]
        if value.dtype == object:
            return value, value != np.array(None)
        return value, np.isfinite(value) if value.dtype.kind == "f" else tile["n"] > 0


class Edge(Aggregate):
    """Value of the first or last event that has one, by (event time, partition, offset)."""

    numeric = False

    def __init__(self, name: PartName, none: int) -> None:
        self.name, self.parts, self.none = name, (name,), none

    def result(self, kind: Kind) -> Kind:
        return kind

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        return tile[self.name], tile[f"{self.name}.hi"] != self.none


class CountDistinct(Aggregate):
    """How many different values; exact up to the view's distinct_k, then estimated. 0 of nothing."""

    name, parts, numeric = "count_distinct", ("distinct",), False

    def result(self, kind: Kind) -> Kind:
        return "i64"

    def final(self, tile: Mapping[str, np.ndarray]) -> Final:
        return _always(tile["distinct"])


def _always(value: np.ndarray) -> Final:
    return value, np.ones(value.shape, bool)


AGGREGATES: dict[str, Aggregate] = {
    aggregate.name: aggregate
    for aggregate in (
        Count(),
        Sum(),
        Mean(),
        Extreme("min", INT_MAX),
        Extreme("max", INT_MIN),
        Variance("std", lost=1, root=True),
        Variance("var", lost=1, root=False),
        Variance("std_pop", lost=0, root=True),
        Variance("var_pop", lost=0, root=False),
        CountDistinct(),
        Edge("first", INT_MAX),
        Edge("last", INT_MIN),
    )
}
ALIASES = {"avg": "mean", "stddev": "std", "variance": "var"}


def aggregate(name: str) -> Aggregate:
    """The aggregate of that name or alias. Raises DefinitionError, naming those known, if there is none."""
    key = name.strip().lower()
    try:
        return AGGREGATES[ALIASES.get(key, key)]
    except KeyError:
        known = ", ".join(sorted([*AGGREGATES, *ALIASES]))
        raise DefinitionError(f"unknown aggregation function {name!r}: use one of {known}") from None


def part(name: PartName) -> Part:
    """The algebra of a slot's part."""
    return PARTS[name]
