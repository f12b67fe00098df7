"""A view's features as Spark's own aggregates over the rows of a group: another program than the engine's."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, FloatType, TimestampNTZType

from streaming.plan import Feature, View

PREFIX = "_c_"
TYPES = {
    "INT32": "int",
    "INT64": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "STRING": "string",
    "BOOL": "boolean",
    "UNIX_TIMESTAMP": "timestamp",
}


def columns(view: View, features: Sequence[Feature], events: DataFrame) -> list[Column]:
    """What the features aggregate, from a frame that has the source's struct; NaN and infinities are null."""
    wanted = {f.column for f in features if f.column}
    return [_finite(events, sql).alias(PREFIX + name) for name, sql in view.columns if name in wanted]


def _finite(events: DataFrame, sql: str) -> Column:
    column = F.expr(sql)
    type_ = events.select(column.alias("c")).schema[0].dataType
    if isinstance(type_, FloatType | DoubleType):
        return F.when(F.abs(column) < float("inf"), column)
    # Moments are as first, last, min and max serve them; other functions take no moments.
    return column.cast("timestamp") if isinstance(type_, TimestampNTZType) else column


def statistic(function: str, column: str, events: DataFrame) -> Column:
    """One function over `columns`; `_place` orders the events. Nothing sums to 0."""
    if not column:
        return F.count(F.lit(1))
    value = F.col(PREFIX + column)
    number = value.cast("int") if isinstance(events.schema[PREFIX + column].dataType, BooleanType) else value
    number = number.cast("double")
    place = F.when(value.isNotNull(), F.col("_place"))
    return {
        "count": lambda: F.count(value),
        "sum": lambda: F.coalesce(F.sum(number), F.lit(0.0)),
        "mean": lambda: F.avg(number),
        "std": lambda: F.stddev_samp(number),
        "var": lambda: F.var_samp(number),
        "std_pop": lambda: F.stddev_pop(number),
        "var_pop": lambda: F.var_pop(number),
        "min": lambda: F.min(value),
        "max": lambda: F.max(value),
        "first": lambda: F.min_by(value, place),
        "last": lambda: F.max_by(value, place),
        # Spark counts no distinct values in a stream. Hashes are smaller than values.
        "count_distinct": lambda: distinct(value),
    }[function]()


def distinct(value: Column) -> Column:
    """The number of different values, but nulls; the hash of a null is a number."""
    return F.size(F.collect_set(F.when(value.isNotNull(), F.xxhash64(value))))
