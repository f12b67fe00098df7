"""The peer: Spark's `window()` aggregates in update mode, written by Feast in `foreachBatch`.

What Feast's users build today: a query a window, each batch to pandas, `write_to_online_store`. It gets
the windows of the user view alone, without deduplication, and a smaller backlog than the lane, so that
it finishes.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64, Int64, String
from feast.value_type import ValueType
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from generators import schema
from streaming import session
from tidemark.jars import spark_jars
from tidemark.services import Endpoints

WINDOWS = {
    "1m": ("1 minute", "5 seconds"),
    "5m": ("5 minutes", "15 seconds"),
    "1h": ("1 hour", "5 minutes"),
    "24h": ("24 hours", "1 hour"),
    "7d": ("7 days", "1 hour"),
}
STATISTICS = {"count": F.count, "sum": F.sum, "mean": F.avg, "std": F.stddev, "max": F.max, "min": F.min}


def run(endpoints: Endpoints, folder: Path, events: int) -> dict[str, Any]:
    """Work off about `events` transactions of the topic; events a second over the whole run."""
    folder.mkdir()
    store = _store(endpoints, folder)
    began = time.monotonic()
    spark = session.build(
        "peer", master="local[*]", jars=spark_jars(), shuffle_partitions=2, conf={"spark.log.level": "ERROR"}
    )
    raw = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", endpoints.kafka)
        .option("subscribe", "financial-transactions")
        .load()
    )
    rows = raw.orderBy(F.desc("offset")).limit(events).select("value")
    rows.write.parquet(str(folder / "backlog"))
    prepared = time.monotonic()
    stream = spark.readStream.schema(rows.schema).parquet(str(folder / "backlog"))
    record = F.from_json(F.col("value").cast("string"), schema.spark_schema("transactions"))
    parsed = (
        stream.select(record.alias("r"))
        .select("r.user_id", "r.amount", "r.timestamp")
        .withWatermark("timestamp", "2 minutes")
    )
    queries = [_query(store, parsed, name, folder).start() for name in WINDOWS]
    for query in queries:
        query.awaitTermination()
    spark.stop()
    wall = time.monotonic() - prepared
    return {
        "events": events,
        "windows": len(WINDOWS),
        "statistics": len(STATISTICS),
        "whole": events / wall,
        "setup": prepared - began,
    }


def _query(store: FeatureStore, parsed: DataFrame, name: str, folder: Path) -> Any:
    length, slide = WINDOWS[name]
    aggregates = [
        function("amount").alias(f"amount_{statistic}_{name}") for statistic, function in STATISTICS.items()
    ]
    windows = parsed.groupBy("user_id", F.window("timestamp", length, slide)).agg(*aggregates)

    def write(frame: DataFrame, _: int) -> None:
        rows = frame.withColumn("event_timestamp", F.col("window.end")).drop("window").toPandas()
        newest = rows.sort_values("event_timestamp").groupby("user_id").tail(1)
        store.write_to_online_store(f"user_{name}", newest)

    writer = windows.writeStream.outputMode("update").foreachBatch(write).trigger(availableNow=True)
    return writer.option("checkpointLocation", str(folder / f"checkpoint-{name}"))


def _store(endpoints: Endpoints, folder: Path) -> FeatureStore:
    config = RepoConfig(
        project="peer",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "redis", "connection_string": f"{endpoints.redis},db=1"},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    source = FileSource(path=str(folder / "none.parquet"), timestamp_field="event_timestamp")
    views = [
        FeatureView(
            name=f"user_{name}",
            entities=[user],
            ttl=timedelta(days=8),
            source=source,
            schema=[
                Field(name="user_id", dtype=String),
                *[
                    Field(name=f"amount_{s}_{name}", dtype=Int64 if s == "count" else Float64)
                    for s in STATISTICS
                ],
            ],
        )
        for name in WINDOWS
    ]
    store.apply([user, *views])
    return store
