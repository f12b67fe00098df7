"""The queries that keep other topics: scores, alerts, whatever is JSON -> one row a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming.archive.arrivals import kafka
from streaming.archive.tables import messages
from streaming.checkpoint import Checkpoint
from streaming.sinks import Sink


@dataclass
class Messages:
    """Takes in a topic as it is: nothing is parsed, left out or deduplicated."""

    topic: str
    bootstrap: str
    max_events: int
    checkpoint: Checkpoint
    table: Sink

    def stream(self, spark: SparkSession, starting: str) -> DataFrame:
        """The columns of the table."""
        raw = kafka(spark, self.bootstrap, [self.topic], starting, self.max_events, keys=True)
        return raw.select(
            F.col("key").cast("string").alias("key"),
            F.col("value").cast("string").alias("value"),
            F.col("topic").alias("_topic"),
            F.col("partition").alias("_partition"),
            F.col("offset").alias("_offset"),
            F.col("timestamp").alias("_arrived"),
            F.to_date("timestamp").alias("date"),
        ).select(*messages(self.topic).columns)

    def write(self, frame: DataFrame, batch: int, now: float) -> dict[str, Any]:
        """Write a batch, and count; the time is not used."""
        held = frame.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            rows = held.count()
            if rows:
                self.table.write(held, batch)
        finally:
            held.unpersist()
        start = self.checkpoint.start(batch).get(self.topic, {})
        end = self.checkpoint.offsets(batch).get(self.topic, {})
        read = sum(last - start.get(partition, 0) for partition, last in end.items())
        return {"read": {self.topic: read}, "written": {self.topic: rows}, "quarantined": {}}
