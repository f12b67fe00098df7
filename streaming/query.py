"""The Spark query of a lane: Kafka -> admitted events -> rows for its tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import DataFrame, SparkSession

from streaming import kafka, source
from streaming.checkpoint import Entry, Offsets
from streaming.plan import Plan
from streaming.projection import Projection

COLUMNS = ["topic", "partition", "offset", "timestamp", "value"]
"""What is read of a message."""
RANGE = 10_000
"""Messages of one range of offsets, where one process is the whole cluster. The ranges are shared out
evenly over a task per core: a long partition does not hold up a batch, and many short ones do not cost a
task each."""


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
        """The streaming frame of messages, of which `foreachBatch` receives a batch."""
        reader = (
            self.spark.readStream.format("kafka")
            .options(**kafka.reader(self.bootstrap))
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
        return raw.select(COLUMNS)

    def rows(self, raw: DataFrame, partitions: int, identities: bool) -> DataFrame:
        """A batch of messages as the rows of its tasks (`Projection.rows`)."""
        projected = self.projection.project(source.admit(raw, self.plan.sources))
        return self.projection.rows(projected, partitions, identities=identities)

    def again(self, entry: Entry) -> DataFrame:
        """The rows of a past batch, read from Kafka by its offsets, in as many partitions as it had.

        Raises LostWritesError when Kafka no longer has its messages.
        """
        end = entry.end
        raw = (
            self.spark.read.format("kafka")
            .options(**kafka.reader(self.bootstrap))
            .option("subscribe", self.topics)
            .option("startingOffsets", json.dumps(_complete(entry.start, end)))
            .option("endingOffsets", json.dumps(end))
            .option("failOnDataLoss", "true")
            .load()
        )
        return self.rows(raw.select(COLUMNS), entry.partitions or self.partitions, entry.partitions > 0)


def _complete(start: Offsets, end: Offsets) -> Offsets:
    """Start offsets for every partition of `end`; a partition that was new then began at 0."""
    return {t: {p: start.get(t, {}).get(p, 0) for p in ps} for t, ps in end.items()}
