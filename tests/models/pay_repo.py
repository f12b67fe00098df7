"""Payments of a few people, some in bursts that are fraud, and a repo whose service is a model's."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from feast import (
    Aggregation,
    Entity,
    FeatureService,
    FeatureStore,
    Field,
    FileSource,
    KafkaSource,
    RequestSource,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64
from feast_repos import register
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 24
TYPES = {"user_id": "string", "amount": "number", "is_fraud": "boolean"}
TAGS = {
    "model": "payments",
    "model.source": "payments",
    "model.label": "is_fraud",
    "model.rules": "size_score",
}


def apply(folder: Path, tags: dict[str, str] = TAGS, column: str = "amount") -> FeatureStore:
    """Views over `column`, a score of an event, and the service `paying`."""
    folder.mkdir(parents=True)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    properties: dict[str, Any] = {name: {"type": type_} for name, type_ in TYPES.items()}
    properties["at"] = {"type": "string", "format": "date-time"}
    stream = KafkaSource(
        name="payments",
        kafka_bootstrap_servers="localhost:9092",
        topic="payments",
        timestamp_field="at",
        message_format=JsonFormat(schema_json=json.dumps({"type": "object", "properties": properties})),
        batch_source=FileSource(name="past", path="past.parquet", timestamp_field="at"),
    )

    def rolling(
        name: str, function: str, window: timedelta, slide: timedelta, of: str = "amount"
    ) -> Aggregation:
        return Aggregation(column=of, function=function, time_window=window, slide_interval=slide, name=name)

    ten, minute, week, hour = (
        timedelta(minutes=10),
        timedelta(minutes=1),
        timedelta(days=7),
        timedelta(hours=1),
    )
    payments = StreamFeatureView(
        name="user_payments",
        entities=[user],
        source=stream,
        timestamp_field="at",
        ttl=week,
        aggregations=[
            rolling("count_10m", "count", ten, minute, column),
            rolling("mean_7d", "mean", week, hour),
            rolling("max_7d", "max", week, hour),
        ],
        schema=[
            Field(name="count_10m", dtype=Int64),
            Field(name="mean_7d", dtype=Float64),
            Field(name="max_7d", dtype=Float64),
        ],
    )
    asked = {"amount": Float64, "event_included": Bool, "previous_max_7d": Float64}
    event = RequestSource(name="event", schema=[Field(name=n, dtype=t) for n, t in asked.items()])

    @on_demand_feature_view(
        sources=[payments, event], schema=[Field(name="size_score", dtype=Float64)], mode="pandas"
    )
    def size(given):
        import pandas as pd

        return pd.DataFrame({"size_score": given["amount"] / given["previous_max_7d"].fillna(1e9)})

    service = FeatureService(name="paying", features=[payments, size], tags=tags)
    return register(folder, user, stream, payments, size, service)


def make(seed: int = 3, users: int = 40, bursts: int = 60) -> list[dict[str, Any]]:
    """Events in order of time: usual ones, and bursts of 3 to 6 within minutes, all but the first of a kind alike."""
    rng = np.random.default_rng(seed)
    found = [
        (float(at), int(user), False)
        for at, user in zip(rng.uniform(0, DAYS * 86_400, 2_500), rng.integers(0, users, 2_500), strict=True)
    ]
    for begin, user in zip(
        rng.uniform(0, DAYS * 86_400 - 900, bursts), rng.integers(0, users, bursts), strict=True
    ):
        gaps = rng.uniform(20, 90, int(rng.integers(3, 7)))
        found += [(float(at), int(user), True) for at in begin + np.cumsum(gaps)]
    return [
        {
            "user_id": f"u{user}",
            "amount": round(float(rng.lognormal(3, 0.8)), 2),
            "is_fraud": fraud,
            "at": START + timedelta(milliseconds=round(at * 1000)),
            "_topic": "payments",
            "_partition": user % 2,
            "_offset": number,
        }
        for number, (at, user, fraud) in enumerate(sorted(found))
    ]


def keep(spark: SparkSession, root: Path, events: list[dict[str, Any]]) -> None:
    """Write events as the history lane keeps them."""
    schema = "user_id string, amount double, is_fraud boolean, at timestamp, _topic string, _partition int, _offset bigint"
    rows = spark.createDataFrame([tuple(event.values()) for event in events], schema)
    added = {
        "_arrived": F.col("at"),
        "_late": F.lit(False),
        "_created": F.current_timestamp(),
        "event_date": F.to_date("at"),
    }
    rows.withColumns(added).write.format("delta").partitionBy("event_date").save(
        str(root / "events" / "payments")
    )
