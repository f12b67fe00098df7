"""A small repo for tests of history: two topics, four views, an on-demand view, services; and stored events."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
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
    StreamFeatureView,
    ValueType,
)
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.stream_feature_view import stream_feature_view
from feast.types import Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast_repos import register
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
COLUMNS = {
    "orders": {
        "order_id": "string",
        "user_id": "string",
        "shop_id": "integer",
        "amount": "number",
        "item": "string",
    },
    "visits": {"visit_id": "string", "user_id": "string", "seconds": "integer"},
}


def source(name: str, root: Path) -> KafkaSource:
    properties: dict[str, Any] = {c: {"type": [t, "null"]} for c, t in COLUMNS[name].items()}
    properties["at"] = {"type": "string", "format": "date-time"}
    return KafkaSource(
        name=f"{name}_stream",
        kafka_bootstrap_servers="localhost:9092",
        topic=name,
        timestamp_field="at",
        message_format=JsonFormat(schema_json=json.dumps({"type": "object", "properties": properties})),
        batch_source=FileSource(name=f"{name}_none", path=str(root / "none.parquet"), timestamp_field="at"),
        tags={"event_id": next(iter(COLUMNS[name]))},
    )


def aggregation(name: str, column: str, function: str, length: timedelta, slide: timedelta) -> Aggregation:
    return Aggregation(column=column, function=function, time_window=length, slide_interval=slide, name=name)


def apply(folder: Path, root: Path) -> FeatureStore:
    """The repo in `folder`, its views' batch sources below the history `root`."""
    folder.mkdir(exist_ok=True)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    orders, visits = source("orders", root), source("visits", root)

    def stored(stream: KafkaSource, view: str) -> KafkaSource:
        """The stream as this view's source: the same, but what is stored are the view's features."""
        mine = copy.copy(stream)
        mine.batch_source = FileSource(
            name=f"{view}_features",
            path=str(root / "features" / view),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        return mine

    @stream_feature_view(
        entities=[user],
        source=stored(orders, "user_orders"),
        timestamp_field="at",
        mode="spark",
        ttl=timedelta(days=30),
        aggregations=[
            aggregation("orders_5m", "*", "count", 5 * MINUTE, MINUTE),
            aggregation("spent_1h", "net", "sum", HOUR, 5 * MINUTE),
            aggregation("std_1h", "net", "std", HOUR, 5 * MINUTE),
            aggregation("cents_1h", "cents", "sum", HOUR, 5 * MINUTE),
            aggregation("largest_1h", "net", "max", HOUR, 5 * MINUTE),
            aggregation("last_item", "item", "last", HOUR, HOUR),
            aggregation("items_1h", "item", "count_distinct", HOUR, 5 * MINUTE),
            aggregation("last_order", "at", "max", HOUR, 5 * MINUTE),
        ],
        schema=[
            Field(name="orders_5m", dtype=Int32),
            Field(name="spent_1h", dtype=Float64),
            Field(name="std_1h", dtype=Float64),
            Field(name="cents_1h", dtype=Int64),
            Field(name="largest_1h", dtype=Float32),
            Field(name="last_item", dtype=String),
            Field(name="items_1h", dtype=Int64),
            Field(name="last_order", dtype=UnixTimestamp),
        ],
    )
    def user_orders(events):
        from pyspark.sql import functions as F

        paid = events.where(F.col("amount") > 0)
        return paid.withColumns({"net": F.col("amount") * 0.5, "cents": F.floor(F.col("amount") * 100)})

    user_visits = StreamFeatureView(
        name="user_visits",
        entities=[user],
        source=stored(visits, "user_visits"),
        timestamp_field="at",
        ttl=timedelta(days=30),
        aggregations=[aggregation("seconds_10m", "seconds", "sum", 10 * MINUTE, MINUTE)],
        schema=[Field(name="seconds_10m", dtype=Int64)],
    )
    shop_orders = StreamFeatureView(
        name="shop_orders",
        entities=[shop],
        source=stored(orders, "shop_orders"),
        timestamp_field="at",
        ttl=timedelta(days=30),
        aggregations=[aggregation("shop_mean", "amount", "mean", 20 * MINUTE, MINUTE)],
        schema=[Field(name="shop_mean", dtype=Float64)],
    )
    pair_orders = StreamFeatureView(
        name="pair_orders",
        entities=[user, shop],
        source=stored(orders, "pair_orders"),
        timestamp_field="at",
        ttl=timedelta(days=30),
        aggregations=[aggregation("pair_count", "*", "count", HOUR, HOUR)],
        schema=[Field(name="pair_count", dtype=Int64)],
    )
    tiled = [user_orders, user_visits, shop_orders, pair_orders]

    @on_demand_feature_view(
        sources=[user_orders, user_visits], schema=[Field(name="per_second", dtype=Float64)], mode="pandas"
    )
    def activity(given):
        import pandas as pd

        return pd.DataFrame({"per_second": given["spent_1h"] / (given["seconds_10m"].fillna(0) + 1)})

    services = [
        FeatureService(name="buying", features=[user_orders, shop_orders, pair_orders, activity]),
        FeatureService(name="own", features=[user_orders]),
    ]
    return register(folder, user, shop, orders, visits, *tiled, activity, *services)


def make(seed: int = 1, orders: int = 400, visits: int = 200) -> dict[str, list[dict[str, Any]]]:
    """Events of both topics over two days, disordered, with ties, nulls and odd numbers."""
    rng = np.random.default_rng(seed)
    made: dict[str, list[dict[str, Any]]] = {"orders": [], "visits": []}
    for name, count in (("orders", orders), ("visits", visits)):
        for i in range(count):
            # Bursts an hour apart, on both sides of midnight.
            at = (
                START
                + HOUR * int(rng.integers(0, 24))
                + timedelta(milliseconds=int(rng.integers(0, 600)) * 999)
            )
            row: dict[str, Any] = {
                f"{name[:-1]}_id": f"{name}{i}",
                "user_id": f"u{rng.integers(0, 5)}",
                "at": at,
            }
            if name == "orders":
                amount = None if i % 11 == 0 else round(float(rng.normal(20, 15)), 2)
                row |= {
                    "shop_id": int(rng.integers(0, 3)) or None,
                    "amount": amount,
                    "item": f"i{rng.integers(0, 9)}",
                }
            else:
                row["seconds"] = int(rng.integers(0, 100))
            made[name].append(row | {"_topic": name, "_partition": i % 3, "_offset": i // 3})
    return made


def store(spark: SparkSession, root: Path, events: dict[str, Sequence[dict[str, Any]]]) -> None:
    """Write events as the history lane keeps them."""
    types = {"string": "string", "integer": "bigint", "number": "double"}
    for name, rows in events.items():
        columns = ", ".join(f"{c} {types[t]}" for c, t in COLUMNS[name].items())
        schema = f"{columns}, at timestamp, _topic string, _partition int, _offset bigint"
        frame = spark.createDataFrame(
            [tuple(row.get(c.split()[0]) for c in schema.split(", ")) for row in rows], schema
        )
        frame = frame.withColumns(
            {
                "_arrived": F.col("at"),
                "_late": F.lit(False),
                "_created": F.current_timestamp(),
                "event_date": F.to_date("at"),
            }
        )
        frame.write.format("delta").partitionBy("event_date").save(str(root / "events" / f"{name}_stream"))
