"""Stored events -> the rows of one view, by the very expressions that the online lane runs.

`streaming.projection` compiles a view's keys, columns, conditions and hashes once; here its input comes from the
events table instead of Kafka.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, IntegerType, LongType, StringType, StructType

from streaming.history import store
from streaming.history.blocks import BUCKETS, EPOCH, TIME_BITS
from streaming.plan import Plan, Source, View
from streaming.projection import Projection, _key
from streaming.source import struct_type


@dataclass(frozen=True)
class Events:
    """Reads the events of a plan's sources from the history at `root`; `thinned` may leave some out."""

    spark: SparkSession
    plan: Plan
    root: str
    thinned: Callable[[DataFrame, Source], DataFrame] | None = None

    @cached_property
    def projection(self) -> Projection:
        return Projection(self.plan, self.spark.createDataFrame([], self._schema()))

    def of_view(self, view: View, since: date | None = None, until: date | None = None) -> DataFrame:
        """`key`, `time`, `part`, `offset` and the physical columns of the events that the view uses.

        `since` and `until` (both included, UTC) leave out event dates where the view's time is the source's.
        """
        number = [source.name for source in self.plan.sources].index(view.source)
        source = self.plan.sources[number]
        held = store.events(self.spark, self.root, source.name)
        if self.thinned is not None:
            held = self.thinned(held, source)
        if view.timestamp == f"source_{number}.`{source.timestamp_field}`":
            if since is not None:
                held = held.where(F.col("event_date") >= since)
            if until is not None:
                held = held.where(F.col("event_date") <= until)
        columns = self.projection.views[self.plan.views.index(view)]
        bit = 1 << self.plan.of_source(source.name).index(view)
        used = (
            (F.col("ok").bitwiseAND(bit) > 0)
            & F.col(columns.key).isNotNull()
            & F.col(columns.time).isNotNull()
        )
        physical = dict.fromkeys([*columns.values.values(), *columns.hashes.values()])
        return (
            self.projection.project(self.admitted(held, number))
            .where(used)
            .select(
                F.col(columns.key).alias("key"),
                F.col(columns.time).alias("time"),
                F.col("_partition").alias("part"),
                F.col("_offset").alias("offset"),
                *physical,
            )
        )

    def admitted(self, held: DataFrame, number: int) -> DataFrame:
        """Stored events of one source as `streaming.source.admit` returns them."""
        source, columns = self.plan.sources[number], []
        identified = source.event_id and source.deduplicate
        for field in self._schema():
            if field.name == f"source_{number}":
                names = struct_type(source).names
                column = F.struct(*[F.col(f"`{name.replace('`', '``')}`") for name in names])
            elif field.name in ("_partition", "_offset"):
                column = F.col(field.name)
            elif field.name == "_event_id" and identified:
                column = F.col(f"`{source.event_id}`").cast("string")
            else:
                known = {"_source": number, "_code": 0}
                column = F.lit(known.get(field.name)).cast(field.dataType)
            columns.append(column.alias(field.name))
        return held.select(*columns)

    def _schema(self) -> StructType:
        schema = (
            StructType()
            .add("_source", IntegerType())
            .add("_partition", IntegerType())
            .add("_offset", LongType())
            .add("_value", BinaryType())
            .add("_code", IntegerType())
            .add("_event_id", StringType())
        )
        for i, source in enumerate(self.plan.sources):
            schema = schema.add(f"source_{i}", struct_type(source))
        return schema


def entity_key(names: list[str]) -> Column:
    """The key that the engine makes of these columns, in the order of the view's join keys."""
    return F.expr(_key([f"`{name}`" for name in names]))


def shared_out(rows: DataFrame, tasks: int) -> DataFrame:
    """Rows with `sort`, all of an entity's in one of `tasks` partitions, sorted as `streaming.history.blocks` takes them.

    Spark sorts one long by radix, and on disk what does not fit in memory.
    """
    bucket = F.expr(f"pmod(xxhash64(key), {BUCKETS}L)")
    ms = F.expr(f"greatest(least((time - pmod(time, 1000)) div 1000 + {EPOCH}L, {2 * EPOCH - 1}L), 0L)")
    keyed = rows.withColumn("sort", F.shiftleft(bucket, TIME_BITS) + ms)
    placed = keyed.repartitionById(tasks, F.expr(f"CAST(shiftright(sort, {TIME_BITS}) % {tasks} AS INT)"))
    return placed.sortWithinPartitions("sort")
