"""The Spark query of a lane: Kafka -> admitted, deduplicated, projected events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming import source
from streaming.checkpoint import Entry, Offsets
from streaming.errors import LostWritesError
from streaming.plan import Plan
from streaming.projection import Projection

# Spark writes the batch's time as a literal into the generated code, and every batch would compile its
# stages anew. A lambda is not generated: the literal stays in an object that the code refers to.
BATCH_TIME = "element_at(transform(array(0), ignored -> current_timestamp()), 1)"
RANGE = 10_000
"""Messages of one range of offsets, where one process is the whole cluster. The ranges are shared out
evenly over a task per core: a long partition does not hold up a batch, and many short ones do not cost a
task each. Elsewhere a partition stays whole, so that its messages meet the deduplication in order."""
DEDUPLICATION = ("_origin", "_id0", "_id1")


@dataclass(frozen=True)
class Query:
    """How a plan reads its topics from `bootstrap` into `partitions` tasks; `max_events` bounds a batch."""

    spark: SparkSession
    plan: Plan
    bootstrap: str
    max_events: int
    partitions: int

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
        reader = (
            self.spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self.bootstrap)
            .option("subscribe", self.topics)
            .option("startingOffsets", starting_offsets)
            .option("maxOffsetsPerTrigger", self.max_events)
            .option("failOnDataLoss", "true")
        )
        context = self.spark.sparkContext
        if str(context.master).startswith("local"):
            raw = reader.option("maxRecordsPerPartition", RANGE).load().coalesce(context.defaultParallelism)
        else:
            raw = reader.load()
        events = self._project(raw)
        if self.deduplicates:
            timed = events.withColumn("_now", F.expr(BATCH_TIME))
            timed = timed.withWatermark("_now", f"{self.horizon} milliseconds")
            events = timed.dropDuplicatesWithinWatermark(list(DEDUPLICATION)).drop("_now")
        return self.projection.rows(events, self.partitions)

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
        events = self._project(raw)
        if self.deduplicates:
            events = self._new(events, entry.batch, checkpoint)
        return self.projection.rows(events, self.partitions)

    def _new(self, projected: DataFrame, batch: int, checkpoint: str) -> DataFrame:
        """The events of a past batch that no earlier one had, each once."""
        first = projected.groupBy(*DEDUPLICATION).agg(
            F.min(F.struct("_partition", "_offset")).alias("_first")
        )
        kept = projected.join(
            first.select("_first._partition", "_first._offset", *DEDUPLICATION),
            ["_partition", "_offset", *DEDUPLICATION],
            "left_semi",
        )
        if batch == 0:
            return kept
        try:
            seen = (
                self.spark.read.format("statestore")
                .option("batchId", batch - 1)
                .load(checkpoint)
                .select("key.*")
            )
            seen.limit(1).collect()
        except Exception as error:
            raise LostWritesError(
                f"Redis lost batch {batch} and Spark no longer knows which events were duplicates then: "
                "run `tidemark stream reset` and start from the beginning, or `tidemark rebuild`"
            ) from error
        return kept.join(seen, list(DEDUPLICATION), "left_anti")


def _complete(start: Offsets, end: Offsets) -> Offsets:
    """Start offsets for every partition of `end`; a partition that was new then began at 0."""
    return {t: {p: start.get(t, {}).get(p, 0) for p in ps} for t, ps in end.items()}
