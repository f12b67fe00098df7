"""The columns that a view reads, as Spark SQL over its source's struct."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from feast import StreamFeatureView
from feast.feature_view import DUMMY_ENTITY_ID

from streaming.definitions.features import category
from streaming.definitions.formats import struct
from streaming.definitions.sources import Stream
from streaming.errors import DefinitionError
from streaming.plan import View

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    from streaming.definitions.udf import Udf


@dataclass(frozen=True)
class Columns:
    """Columns by name: SQL, and types in Spark's JSON form; `condition` is the SQL of the udf's filters."""

    sql: dict[str, str]
    types: dict[str, Any]
    condition: str = ""

    def with_sql(self, view: View, timestamp: str) -> View:
        """`view` with the SQL of what it reads. Raises DefinitionError when a column is missing or unfit."""
        keys = tuple((name, self._key(name, type_)) for name, type_ in view.join_keys)
        used = sorted({f.column for f in view.features if f.column})
        if timestamp not in self.sql:
            raise DefinitionError(f"there is no timestamp column {timestamp}: keep it in the udf's result")
        if category(self.types[timestamp]) != "timestamp":
            raise DefinitionError(
                f"its timestamp column {timestamp} is {self.types[timestamp]}: make it a timestamp"
            )
        return replace(
            view,
            keys=keys,
            columns=tuple((name, self._finite(view, name)) for name in used),
            timestamp=self._instant(timestamp),
            condition=self.condition,
        )

    def _key(self, name: str, type_: str) -> str:
        if name == DUMMY_ENTITY_ID:
            return "''"
        if name not in self.sql:
            raise DefinitionError(
                f"join key {name} is not among its columns, {', '.join(sorted(self.sql))}: add it"
            )
        kind = category(self.types[name])
        fits = ("integer",) if type_.startswith("INT") else ("text", "integer")
        if kind not in fits:
            raise DefinitionError(
                f"join key {name} is {self.types[name]} in the messages and {type_} in Feast: make the entity's "
                "value_type and the column the same"
            )
        # A key beyond 32 bits is nobody's, rather than another's.
        narrow = type_ == "INT32" and self.types[name] == "long"
        return f"try_cast({self.sql[name]} AS INT)" if narrow else self.sql[name]

    def _instant(self, name: str) -> str:
        sql = self.sql[name]
        return f"CAST({sql} AS TIMESTAMP)" if self.types[name] == "timestamp_ntz" else sql

    def _finite(self, view: View, name: str) -> str:
        """NaN and infinities are nulls to every function; the engine sees to it, and counts them, where it
        reads numbers, but not where a number is kept as text."""
        sql = self.sql[name]
        as_text = any(s.kind == "str" for s in view.slots if s.column == name)
        if as_text and self.types[name] in ("float", "double"):
            return f"CASE WHEN abs({sql}) < double('infinity') THEN {sql} END"
        return sql


def plain(stream: Stream) -> Columns:
    """The columns of a view without a udf: the fields of the struct."""
    sql, types = {}, {}
    for name, type_ in stream.message.columns.items():
        column = stream.renamed.get(name, name)
        sql[column] = f"{stream.struct}.`{name.replace('`', '``')}`"
        types[column] = type_
    return Columns(sql, types)


def timestamp_field(view: StreamFeatureView, stream: Stream) -> str:
    """The column that says when an event happened: the view's, else the source's."""
    return view.timestamp_field or stream.source.timestamp_field


def of_view(
    view: StreamFeatureView,
    stream: Stream,
    spark: SparkSession | None,
    join_keys: Sequence[tuple[str, str]],
) -> Columns | None:
    """The columns of a view; None when a udf makes them and there is no Spark to compile it.

    Raises DefinitionError when the udf cannot be compiled.
    """
    if view.udf is None and view._raw_udf_proto is None:
        return plain(stream)
    mode = getattr(view.mode, "value", view.mode) or "python"
    if mode != "spark":
        raise DefinitionError(
            f"its udf is of mode {mode}: write it for mode='spark', a function from a Spark DataFrame to another"
        )
    if spark is None:
        return None
    from streaming.definitions.udf import compile_udf

    names = {timestamp_field(view, stream), *(name for name, _ in join_keys)}
    names.update(aggregation.column for aggregation in view.aggregations)
    compiled = compile_udf(spark, udf(view), stream.struct, struct_type(stream), stream.renamed, names)
    types = {name: json.loads(type_.json()) for name, type_ in compiled.types.items()}
    return Columns(compiled.columns, types, compiled.condition)


def udf(view: StreamFeatureView) -> Udf:
    """The view's udf as a function of a Spark DataFrame."""
    return cast("Udf", view.udf)


def struct_type(stream: Stream) -> StructType:
    """The Spark type of the source's struct."""
    from pyspark.sql.types import StructType

    return StructType.fromJson(struct(stream.message.columns))
