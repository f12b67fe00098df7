"""The query that keeps the feature log: the topic feature-updates -> one row a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming.archive.arrivals import kafka
from streaming.archive.tables import FEATURE_LOG
from streaming.checkpoint import Checkpoint
from streaming.sinks import Sink

REASON = "not a message of the online lane"
MESSAGE = "view string, entity string, event_timestamp timestamp, batch bigint, features string"


@dataclass(frozen=True)
class Updates:
    """Takes in the topic `topic`; nothing is deduplicated, since a batch that is run again has the same messages."""

    topic: str
    bootstrap: str
    max_events: int

    def stream(self, spark: SparkSession, starting: str) -> DataFrame:
        """The columns of the log, `_topic` and `_value`, which has the bytes of what is no update."""
        raw = kafka(spark, self.bootstrap, [self.topic], starting, self.max_events)
        parsed = raw.withColumn("u", F.from_json(F.col("value").cast("string"), MESSAGE))
        good = F.expr("u.view IS NOT NULL AND u.entity IS NOT NULL AND u.event_timestamp IS NOT NULL")
        return parsed.select(
            "u.*",
            F.col("partition").alias("_partition"),
            F.col("offset").alias("_offset"),
            F.col("timestamp").alias("_arrived"),
            F.to_date("timestamp").alias("date"),
            F.col("topic").alias("_topic"),
            F.coalesce(good, F.lit(False)).alias("_good"),
            F.when(~F.coalesce(good, F.lit(False)), F.col("value")).alias("_value"),
        )


@dataclass
class UpdatesWriter:
    """Writes a batch of `Updates`."""

    topic: str
    checkpoint: Checkpoint
    log: Sink
    quarantine: Sink

    def write(self, frame: DataFrame, batch: int, now: float) -> dict[str, Any]:
        """Write it, and count; the time is not used."""
        held = frame.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            rows = {row._good: row["count"] for row in held.groupBy("_good").count().collect()}
            if rows.get(True):
                self.log.write(held.where("_good").select(*FEATURE_LOG.columns), batch)
            if rows.get(False):
                bad = held.where("NOT _good")
                bad = bad.withColumns({"_source": F.lit(self.topic), "_reason": F.lit(REASON)})
                self.quarantine.write(bad, batch)
        finally:
            held.unpersist()
        start = self.checkpoint.start(batch).get(self.topic, {})
        end = self.checkpoint.offsets(batch).get(self.topic, {})
        return {
            "read": {self.topic: sum(last - start.get(partition, 0) for partition, last in end.items())},
            "written": {self.topic: rows.get(True, 0)},
            "quarantined": {self.topic: {REASON: rows[False]} if rows.get(False) else {}},
        }
