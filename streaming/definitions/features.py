"""A view's Feast aggregations -> windows, features and the intermediates that its tiles keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from feast import StreamFeatureView
from feast.aggregation import Aggregation

from streaming import aggregates
from streaming.errors import DefinitionError
from streaming.plan import Feature, Kind, Slot, Window
from streaming.tiles import MAX_SLIDES

HOP = timedelta(minutes=5)
"""Feast's default `tiling_hop_size`."""

KINDS: dict[str, Kind] = {
    "DOUBLE": "f64",
    "FLOAT": "f64",
    "INT64": "i64",
    "INT32": "i64",
    "BOOL": "i64",
    "UNIX_TIMESTAMP": "i64",
    "STRING": "str",
}
FIELDS = {"DOUBLE": "Float64", "FLOAT": "Float32", "INT64": "Int64", "INT32": "Int32"}
FIELDS |= {"BOOL": "Bool", "UNIX_TIMESTAMP": "UnixTimestamp", "STRING": "String"}
NUMERIC = {"number": "DOUBLE", "integer": "INT64", "boolean": "INT64"}
NATURAL = {
    "number": ("DOUBLE", "FLOAT"),
    "integer": ("INT64", "INT32"),
    "boolean": ("BOOL",),
    "timestamp": ("UNIX_TIMESTAMP",),
    "text": ("STRING",),
    "date": ("STRING",),
}
"""Column category -> types that min, max, first and last over it may be declared with, best first."""


def category(spark_type: Any) -> str:
    """What a Spark type (its JSON form) is to an aggregation; `other` for what none but counts accepts."""
    if spark_type in ("byte", "short", "integer", "long"):
        return "integer"
    if spark_type in ("float", "double") or (
        isinstance(spark_type, str) and spark_type.startswith("decimal")
    ):
        return "number"
    if spark_type in ("timestamp", "timestamp_ntz"):
        return "timestamp"
    if isinstance(spark_type, str) and spark_type.startswith(("string", "char", "varchar")):
        return "text"
    return spark_type if spark_type in ("boolean", "date") else "other"


def compile_features(
    view: StreamFeatureView, join_keys: Sequence[str], types: Mapping[str, Any] | None
) -> tuple[tuple[Feature, ...], tuple[Slot, ...]]:
    """Features in the order of the aggregations, and slots sorted by column and part.

    `types` are the Spark types (JSON form) of the columns that the view aggregates, or None where a udf
    makes them and there is no Spark to ask; the slots are the same either way, since a slot's kind follows
    the declared types. Raises DefinitionError on whatever the engine cannot compute.
    """
    declared = {f.name: f.dtype.to_value_type().name for f in view.schema if f.name not in join_keys}
    features: list[Feature] = []
    for aggregation in view.aggregations:
        feature = _feature(view, aggregation, declared, types)
        if any(feature.name == other.name for other in features):
            raise DefinitionError(f"two aggregations are called {feature.name}: give one another name")
        features.append(feature)
    slides = {f.window.slide for f in features}
    if len(slides) > MAX_SLIDES:
        raise DefinitionError(
            f"it has {len(slides)} different slides, at most {MAX_SLIDES} are possible: split it in two"
        )
    kinds = _kinds(features)
    slots: set[Slot] = set()
    for feature in features:
        slots.update(
            aggregates.aggregate(feature.function).slots(feature.column, kinds.get(feature.column, "i64"))
        )
    return tuple(features), tuple(sorted(slots, key=lambda s: (s.column, s.part)))


def _feature(
    view: StreamFeatureView,
    aggregation: Aggregation,
    declared: Mapping[str, str],
    types: Mapping[str, Any] | None,
) -> Feature:
    column = "" if aggregation.column in ("*", "") else aggregation.column
    name = _feature_name(view, aggregation, declared)
    try:
        function = aggregates.aggregate(aggregation.function).name
        window = _window(view, aggregation)
        kind = None
        if column and types is not None:
            if column not in types:
                raise DefinitionError(
                    f"there is no column {column}: the columns are {', '.join(sorted(types))}"
                )
            kind = category(types[column])
        elif not column and function != "count":
            raise DefinitionError(f"{function} needs a column: name one, only count goes without")
        dtype = _dtype(name, function, column, kind, declared)
    except DefinitionError as error:
        raise DefinitionError(f"aggregation {name}: {error}") from None
    return Feature(name, function, column, window, dtype)


def _feature_name(view: StreamFeatureView, aggregation: Aggregation, declared: Mapping[str, str]) -> str:
    """Feast's engines append the window to a name they derive; its documentation also shows it without."""
    full, short = aggregation.resolved_name(aggregation.time_window), aggregation.resolved_name()
    same = sum(a.resolved_name() == short for a in view.aggregations)
    return short if full not in declared and short in declared and same == 1 else full


def _window(view: StreamFeatureView, aggregation: Aggregation) -> Window:
    length, slide = aggregation.time_window, aggregation.slide_interval
    if not length:
        raise DefinitionError("it has no time window: give the Aggregation a time_window")
    if not slide or (view.enable_tiling and slide == length):
        slide = (view.tiling_hop_size or HOP) if view.enable_tiling else length
    for what, value in (("time_window", length), ("slide_interval", slide)):
        if value < timedelta(0) or value % timedelta(milliseconds=1):
            raise DefinitionError(f"{what} {value} is not a whole number of milliseconds: round it")
    if length % slide:
        raise DefinitionError(
            f"its window of {length} is not a multiple of its slide of {slide}: choose a slide that divides the window"
        )
    millisecond = timedelta(milliseconds=1)
    return Window(length // millisecond, slide // millisecond)


def _dtype(name: str, function: str, column: str, kind: str | None, declared: Mapping[str, str]) -> str:
    """The declared type, once it is known to fit: `kind` is the column's category, None if unknown."""
    keeps_type = function in ("min", "max", "first", "last")
    if function in ("count", "count_distinct"):
        fitting: tuple[str, ...] = ("INT64", "INT32", "DOUBLE", "FLOAT")
        if function == "count_distinct" and kind == "other":
            raise DefinitionError(
                f"{column} is nested, which count_distinct cannot compare: pick one of its fields"
            )
    elif keeps_type:
        fitting = NATURAL.get(kind, ()) if kind else tuple(KINDS)
        if not fitting:
            raise DefinitionError(
                f"{column} is nested or binary, which {function} cannot keep: pick one of its fields"
            )
    else:
        if kind is not None and kind not in NUMERIC:
            raise DefinitionError(
                f"{function} needs a number and {column} is a {kind}: cast it in the view's udf"
            )
        fitting = ("DOUBLE", "FLOAT")
        if function == "sum" and kind in (None, "integer", "boolean"):
            fitting = ("DOUBLE", "FLOAT", "INT64", "INT32")
    held = declared.get(name)
    if held is None:
        raise DefinitionError(
            "the view's schema does not declare it, so that Feast would not serve it: add "
            f"Field(name={name!r}, dtype={FIELDS[fitting[0]]})"
        )
    if held not in fitting:
        shown = f" over a {kind}" if kind and keeps_type else ""
        raise DefinitionError(
            f"{function}{shown} cannot be served as {FIELDS.get(held, held)}: declare it "
            f"{' or '.join(FIELDS[f] for f in fitting)}"
        )
    return held


def _kinds(features: Sequence[Feature]) -> dict[str, Kind]:
    """How each column's values are held: as the declared type of what keeps it, else as a number if it is used as one."""
    kinds: dict[str, Kind] = {}
    for feature in features:
        if feature.function in ("min", "max", "first", "last"):
            kind = KINDS[feature.dtype]
            if kinds.setdefault(feature.column, kind) != kind:
                raise DefinitionError(
                    f"min, max, first and last of {feature.column} are declared with different types: use one type"
                )
    for feature in features:
        if feature.function not in ("count", "count_distinct"):
            kinds.setdefault(feature.column, "f64")
    return {f.column: kinds.get(f.column, "str") for f in features if f.column}


def unused_fields(
    view: StreamFeatureView, features: Sequence[Feature], join_keys: Sequence[str]
) -> list[str]:
    """Declared fields that no aggregation computes; Feast serves them as null."""
    computed = {f.name for f in features} | set(join_keys) | {view.timestamp_field}
    return sorted(f.name for f in view.schema if f.name not in computed)
