"""The Spark query of a lane: Kafka -> admitted, deduplicated, projected events."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming import source
from streaming.checkpoint import Entry, Offsets
from streaming.errors import LostWritesError
from streaming.plan import Plan
from streaming.projection import Projection

# The batch's time as an array element, which generated code refers to: as a plain literal it would be
# part of the code, and every batch would compile its stages anew.
BATCH_TIME = "element_at(array(current_timestamp(), current_timestamp()), IF(_offset >= 0, 1, 2))"
DEDUPLICATION = ("_origin", "_event_id")


@dataclass(frozen=True)
class Query:
    """How a plan reads its topics from `bootstrap`; `max_events` bounds a batch."""

    spark: SparkSession
    plan: Plan
    bootstrap: str
    max_events: int

    @cached_property
    def projection(self) -> Projection:
        empty = self.spark.createDataFrame(
            self.spark.sparkContext.emptyRDD(),
            "topic string, partition int, offset bigint, timestamp timestamp, value binary",
        )
        return Projection(self.plan, source.admit(empty, self.plan.sources))

    @property
    def topics(self) -> str:
        return ",".join(sorted({s.topic for s in self.plan.sources}))

    @property
    def deduplicates(self) -> bool:
        return any(s.event_id and s.deduplicate for s in self.plan.sources)

    @property
    def horizon(self) -> int:
        """How long an event id is remembered, in ms of processing time: the longest of the sources."""
        return max((s.watermark_delay for s in self.plan.sources if s.event_id and s.deduplicate), default=0)

    def stream(self, starting_offsets: str) -> DataFrame:
        """The streaming frame that `foreachBatch` receives."""
        raw = (
            self.spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self.bootstrap)
            .option("subscribe", self.topics)
            .option("startingOffsets", starting_offsets)
            .option("maxOffsetsPerTrigger", self.max_events)
            .option("failOnDataLoss", "true")
            .load()
        )
        projected = self._project(raw)
        if not self.deduplicates:
            return projected
        timed = self._named(projected).withColumn("_now", F.expr(BATCH_TIME))
        return (
            timed.withWatermark("_now", f"{self.horizon} milliseconds")
            .dropDuplicatesWithinWatermark(list(DEDUPLICATION))
            .drop("_now", "_origin")
        )

    def _named(self, projected: DataFrame) -> DataFrame:
        """With a number for the source that stays when other sources come and go, as `_source` does not."""
        numbers = ", ".join(f"{zlib.crc32(s.name.encode())}L" for s in self.plan.sources)
        return projected.withColumn("_origin", F.expr(f"element_at(array({numbers}), _source + 1)"))

    def _project(self, raw: DataFrame) -> DataFrame:
        columns = raw.select("topic", "partition", "offset", "timestamp", "value")
        return self.projection.project(source.admit(columns, self.plan.sources))

    def again(self, entry: Entry, checkpoint: str) -> DataFrame:
        """A past batch, read from Kafka by its offsets and deduplicated as it was.

        Raises LostWritesError when Kafka or Spark no longer has what that takes.
        """
        end = entry.end
        raw = (
            self.spark.read.format("kafka")
            .option("kafka.bootstrap.servers", self.bootstrap)
            .option("subscribe", self.topics)
            .option("startingOffsets", json.dumps(_complete(entry.start, end)))
            .option("endingOffsets", json.dumps(end))
            .option("failOnDataLoss", "true")
            .load()
        )
        projected = self._project(raw)
        if not self.deduplicates:
            return projected
        projected = self._named(projected)
        first = projected.groupBy(*DEDUPLICATION).agg(
            F.min(F.struct("_partition", "_offset")).alias("_first")
        )
        kept = projected.join(
            first.select("_first._partition", "_first._offset", *DEDUPLICATION),
            ["_partition", "_offset", *DEDUPLICATION],
            "left_semi",
        )
        if entry.batch == 0:
            return kept
        try:
            seen = (
                self.spark.read.format("statestore")
                .option("batchId", entry.batch - 1)
                .load(checkpoint)
                .select("key.*")
            )
            seen.limit(1).collect()
        except Exception as error:
            raise LostWritesError(
                f"Redis lost batch {entry.batch} and Spark no longer knows which events were duplicates then: "
                "run `tidemark stream reset` and start from the beginning, or `tidemark rebuild`"
            ) from error
        return kept.join(seen, list(DEDUPLICATION), "left_anti")


def _complete(start: Offsets, end: Offsets) -> Offsets:
    """Start offsets for every partition of `end`; a partition that was new then began at 0."""
    return {t: {p: start.get(t, {}).get(p, 0) for p in ps} for t, ps in end.items()}
