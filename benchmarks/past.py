"""Stored events and a repo to measure history with: payments of users, one of whom has a fifth of them all."""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from feast import (
    Aggregation,
    Entity,
    FeatureStore,
    Field,
    FileSource,
    KafkaSource,
    RepoConfig,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import JsonFormat
from feast.types import Float64, Int64
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming import definitions, lazy_spark
from streaming.history.events import Events
from streaming.history.sessions import session
from streaming.history.store import StoreSettings, events_path, features_path
from tidemark.jars import spark_jars

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 30
WINDOWS = {
    "1m": (timedelta(minutes=1), timedelta(seconds=5)),
    "5m": (timedelta(minutes=5), timedelta(seconds=5)),
    "1h": (timedelta(hours=1), timedelta(minutes=1)),
    "24h": (timedelta(hours=24), timedelta(minutes=15)),
    "7d": (timedelta(days=7), timedelta(hours=1)),
}
STATISTICS = ("count", "sum", "mean", "std", "min", "max")
FEATURES = [f"amount_{statistic}_{window}" for window in WINDOWS for statistic in STATISTICS]
COLUMNS = {
    "payment_id": "string",
    "user_id": "string",
    "merchant_id": "string",
    "amount": "number",
    "category": "string",
    "location": "string",
    "is_online": "boolean",
    "risk_score": "number",
}


@dataclass(frozen=True)
class Past:
    """A history below `root` and a repo with one view, `user_payments`: 5 windows of 6 statistics."""

    spark: SparkSession
    root: str
    store: FeatureStore
    settings: StoreSettings

    def events(self) -> Events:
        return Events(self.spark, definitions.load(self.store, None, self.spark), self.root)

    def write(self, count: int, hot: float) -> None:
        """`count` events over 30 days; `hot` is the share of one user, the others' falls off as a power."""
        at = f"timestamp_micros({int(START.timestamp()) * 10**6} + CAST(id / {count} * {DAYS * 86_400_000_000} AS BIGINT))"
        frame = self.spark.range(count).selectExpr(
            "uuid() AS payment_id",
            f"CASE WHEN rand(1) < {hot} THEN 'U0' ELSE concat('U', CAST(pow(rand(2), 3) * 100000 AS INT) + 1) END AS user_id",
            "concat('M', CAST(rand(3) * 5000 AS INT)) AS merchant_id",
            "round(exp(3 + randn(4)), 2) AS amount",
            "element_at(array('food', 'travel', 'fuel'), CAST(rand(5) * 3 AS INT) + 1) AS category",
            "element_at(array('DE', 'FR', 'IT', 'ES'), CAST(rand(6) * 4 AS INT) + 1) AS location",
            "rand(7) < 0.3 AS is_online",
            "rand(8) AS risk_score",
            f"{at} AS at",
            "'payments' AS _topic",
            "CAST(id % 2 AS INT) AS _partition",
            "id div 2 AS _offset",
            f"{at} AS _arrived",
            "false AS _late",
            "current_timestamp() AS _created",
            f"to_date({at}) AS event_date",
        )
        frame.write.format("delta").mode("overwrite").partitionBy("event_date").save(
            events_path(self.root, "payments_stream")
        )

    def labels(self, count: int, events: int) -> DataFrame:
        """About `count` moments: those of some of the events, a moment later."""
        held = self.spark.read.format("delta").load(events_path(self.root, "payments_stream"))
        chosen = held.where(F.col("_offset") % max(events // count, 1) == 0) if count < events else held
        return chosen.select("user_id", F.expr("at + INTERVAL 1 SECOND").alias("event_timestamp")).limit(
            count
        )


@contextmanager
def past() -> Iterator[Past]:
    """A session and a folder; both are gone afterwards."""
    with TemporaryDirectory(prefix="tidemark-bench-") as folder:
        root = f"{folder}/history"
        settings = StoreSettings(history=root)
        with session("bench", settings, spark_jars) as spark:
            yield Past(spark, root, _repo(Path(folder), root), settings)


def _repo(folder: Path, root: str) -> FeatureStore:
    lazy_spark.install()
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    properties = {name: {"type": type_} for name, type_ in COLUMNS.items()}
    schema = {"type": "object", "properties": {**properties, "at": {"type": "string", "format": "date-time"}}}
    stream = KafkaSource(
        name="payments_stream",
        kafka_bootstrap_servers="localhost:9092",
        topic="payments",
        timestamp_field="at",
        message_format=JsonFormat(schema_json=json.dumps(schema)),
        batch_source=FileSource(
            name="user_payments_features",
            path=features_path(root, "user_payments"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
    )
    aggregations = [
        Aggregation(
            column="amount",
            function=statistic,
            time_window=length,
            slide_interval=slide,
            name=f"amount_{statistic}_{name}",
        )
        for name, (length, slide) in WINDOWS.items()
        for statistic in STATISTICS
    ]
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=f"{folder}/registry.db",
        online_store={
            "type": "serving.online_store.TiledRedisOnlineStore",
            "connection_string": "localhost:6379",
        },
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        view = StreamFeatureView(
            name="user_payments",
            entities=[user],
            source=copy.copy(stream),
            timestamp_field="at",
            aggregations=aggregations,
            schema=[Field(name=n, dtype=Int64 if "_count_" in n else Float64) for n in FEATURES],
            ttl=timedelta(days=30),
        )
        store.apply([user, stream, view])
    return store


def worker_memory() -> int:
    """The most bytes that any of Spark's Python workers below this process has ever held."""
    parents, peaks = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        parents[int(entry.name)] = int(status["PPid"])
        if "pyspark.daemon" in command and "VmHWM" in status:
            peaks[int(entry.name)] = int(status["VmHWM"].split()[0]) * 1024

    def below(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return max((peak for pid, peak in peaks.items() if pid != os.getpid() and below(pid)), default=0)
