"""A Feast repo of a shop, and its rings as the engine would have written them."""

from __future__ import annotations

import asyncio
import runpy
import textwrap
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from feast import FeatureStore
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from oracle import feature_value
from redis import Redis
from rings import encoded

from serving.catalog import view_of
from streaming.parts import Values
from streaming.plan import View
from streaming.redis import meta
from streaming.redis.bulk import Bulk, RedisTarget
from streaming.redis.wire import EntityKeys, encode_timestamps, timestamp_field

T = TypeVar("T")
NOW = 1_763_700_012_345
"""2025-11-21T04:40:12.345Z: the time on the tests' clock."""

APPLIED = (
    "user",
    "merchant",
    "activity",
    "places",
    "sales",
    "visits",
    "profile",
    "against",
    "everything",
    "scoring",
)

DEFINITIONS = """
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import (
    Entity, FeatureService, FeatureView, Field, FileSource, KafkaSource, RequestSource, StreamFeatureView, ValueType
)
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
merchant = Entity(name="merchant", join_keys=["merchant_id"], value_type=ValueType.INT64)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
past = FileSource(name="past", path=str(Path(__file__).parent / "past.parquet"), timestamp_field="event_time")
payments = KafkaSource(
    name="payments",
    kafka_bootstrap_servers="localhost:9092",
    topic="payments",
    timestamp_field="event_time",
    message_format=JsonFormat(
        "user_id string, merchant_id bigint, amount double, items bigint, city string, event_time timestamp"
    ),
    batch_source=past,
)


def over(column, function, window, slide, name):
    return Aggregation(column=column, function=function, time_window=window, slide_interval=slide, name=name)


SHORT, LONG = (MINUTE, timedelta(seconds=5)), (7 * DAY, 12 * HOUR)
activity = StreamFeatureView(
    name="activity",
    entities=[user],
    schema=[Field(name="user_id", dtype=String), Field(name="unused", dtype=Float64)]
    + [Field(name=n, dtype=t) for n, t in (
        ("count_1m", Int64), ("mean_1m", Float64), ("max_items_1m", Int64),
        ("count_1h", Int64), ("sum_1h", Float64), ("std_1h", Float64),
        ("count_7d", Int64), ("mean_7d", Float64), ("min_7d", Float64),
    )],
    source=payments,
    timestamp_field="event_time",
    aggregations=[
        over("amount", "count", *SHORT, "count_1m"),
        over("amount", "mean", *SHORT, "mean_1m"),
        over("items", "max", *SHORT, "max_items_1m"),
        over("amount", "count", HOUR, 5 * MINUTE, "count_1h"),
        over("amount", "sum", HOUR, 5 * MINUTE, "sum_1h"),
        over("amount", "std", HOUR, 5 * MINUTE, "std_1h"),
        over("amount", "count", *LONG, "count_7d"),
        over("amount", "mean", *LONG, "mean_7d"),
        over("amount", "min", *LONG, "min_7d"),
    ],
)
places = StreamFeatureView(
    name="places",
    entities=[user],
    schema=[
        Field(name="user_id", dtype=String), Field(name="cities_1h", dtype=Int64), Field(name="last_city", dtype=String)
    ],
    source=payments,
    timestamp_field="event_time",
    aggregations=[
        over("city", "count_distinct", HOUR, 5 * MINUTE, "cities_1h"),
        over("city", "last", HOUR, 5 * MINUTE, "last_city"),
    ],
)
sales = StreamFeatureView(
    name="sales",
    entities=[merchant],
    schema=[
        Field(name="merchant_id", dtype=Int64), Field(name="count_1h", dtype=Int64), Field(name="sum_1d", dtype=Float64)
    ],
    source=payments,
    timestamp_field="event_time",
    aggregations=[
        over("", "count", HOUR, HOUR, "count_1h"),
        over("amount", "sum", DAY, HOUR, "sum_1d"),
    ],
)
visits = StreamFeatureView(
    name="visits",
    entities=[user, merchant],
    schema=[
        Field(name="user_id", dtype=String), Field(name="merchant_id", dtype=Int64),
        Field(name="count_1d", dtype=Int64),
    ],
    source=payments,
    timestamp_field="event_time",
    aggregations=[over("amount", "count", DAY, HOUR, "count_1d")],
)
profile = FeatureView(
    name="profile",
    entities=[user],
    schema=[
        Field(name="user_id", dtype=String), Field(name="tier", dtype=String), Field(name="limit", dtype=Float64)
    ],
    source=past,
)


@on_demand_feature_view(
    sources=[activity, RequestSource(name="payment", schema=[Field(name="amount", dtype=Float64)])],
    schema=[Field(name="of_mean", dtype=Float64)],
    mode="python",
)
def against(inputs):
    pairs = zip(inputs["amount"], inputs["mean_7d"], strict=True)
    return {"of_mean": [a / m if m else None for a, m in pairs]}


everything = FeatureService(name="everything", features=[activity, places, profile])
scoring = FeatureService(name="scoring", features=[activity[["count_1m", "mean_7d"]], against])
"""


@dataclass(frozen=True)
class Payment:
    """One event; `age` is how long (ms) before NOW."""

    user: str
    merchant: int
    age: int
    amount: float | None
    items: int | None = 1
    city: str | None = "Lisbon"

    @property
    def time(self) -> int:
        return NOW - self.age


class Shop:
    """The applied repo in `directory`, its online store at `redis` (host:port,...) with `options`."""

    def __init__(self, directory: Path, redis: str, **options: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.redis = directory, redis
        self.target = RedisTarget(redis, cluster=options.get("redis_type") == "redis_cluster")
        lines = "".join(f"    {name}: {str(value).lower()}\n" for name, value in options.items())
        kind = "" if "type" in options else "    type: serving.online_store.TiledRedisOnlineStore\n"
        (directory / "feature_store.yaml").write_text(
            textwrap.dedent(f"""\
                project: {directory.name}
                registry: {directory}/registry.db
                provider: local
                entity_key_serialization_version: 3
                offline_store:
                    type: file
                online_store:
                """)
            + f"{kind}    connection_string: {redis}\n{lines}"
        )
        (directory / "definitions.py").write_text(DEFINITIONS)
        self.store = FeatureStore(repo_path=str(directory))
        self.objects = runpy.run_path(str(directory / "definitions.py"))
        self.store.apply([self.objects[name] for name in APPLIED])
        self.online = self.store._get_provider().online_store
        self.online.clock = lambda: NOW

    def view(self, name: str) -> View:
        return view_of(self.store.get_stream_feature_view(name), self.store.config)

    def write(
        self,
        name: str,
        payments: Sequence[Payment],
        complete_since: int | Mapping[str, int] | None = 0,
        plan: View | None = None,
    ) -> None:
        """Write the rings of view `name` (or of another plan of it) that hold `payments`.

        `complete_since` (ms) is of all its features, or of each by name.
        """
        view = plan or self.view(name)
        entities = sorted({_entity(view, p) for p in payments})
        columns = {
            "amount": [p.amount for p in payments],
            "items": [p.items for p in payments],
            "city": [p.city for p in payments],
        }
        wanted = {slot.column for slot in view.slots if slot.column}
        values = {column: _values(columns[column]) for column in wanted}
        hashes = {
            "city": np.array([int.from_bytes(_mmh3(str(p.city)) * 2, "little") for p in payments], np.uint64)
        }
        owner = [entities.index(_entity(view, p)) for p in payments]
        blobs = encoded(view, owner, [p.time for p in payments], values, hashes=hashes)
        keys = EntityKeys(view.project, view.join_keys).encode(entities)
        fields = [f"_ring:{view.stored_name}{level}".encode() for level in ("", ":head", ":tail")]
        with Bulk(self.target) as bulk:
            for key, entity, levels in zip(keys, entities, blobs, strict=True):
                newest = max(p.time for p in payments if _entity(view, p) == entity)
                stamp = timestamp_field(view.stored_name), encode_timestamps(np.array([newest]))[0]
                pairs = [*zip(fields, levels, strict=True), stamp]
                bulk.command("HSET", key, *(part for pair in pairs for part in pair))
        self.note(view, complete_since)

    def note(self, view: View, complete_since: int | Mapping[str, int] | None) -> None:
        """Record the view's layout and from when on its features are complete."""
        if isinstance(complete_since, int):
            complete_since = {f.name: complete_since for f in view.features}
        with Bulk(self.target) as bulk:
            meta.save(bulk, view, complete_since or {})

    def expected(self, name: str, payments: Sequence[Payment], feature: str, at: int) -> Any:
        """What the contract says about one entity's `payments`."""
        (found,) = [f for f in self.view(name).features if f.name == feature]
        events = [
            (p.time, 0, i, {"amount": p.amount, "items": p.items, "city": p.city})
            for i, p in enumerate(payments)
        ]
        return feature_value(
            events, found.function, found.column, found.window.length, found.window.slide, at
        )

    def read(self, features: Any, entities: dict[str, list[Any]], **options: Any) -> dict[str, list[Any]]:
        return self.store.get_online_features(features, entities, **options).to_dict()

    def read_async(self, read: Callable[[FeatureStore], Coroutine[Any, Any, T]]) -> T:
        """The result of `read`, in an event loop of its own; an async client belongs to one loop."""
        try:
            return asyncio.run(read(self.store))
        finally:
            self.online._client_async = None

    @staticmethod
    def wall(age: int) -> int:
        """The time (ms) `age` ago on the wall clock, by which other processes go."""
        return time.time_ns() // 1_000_000 - age

    def age(self, age: int) -> int:
        """What a Payment's age must be to lie `age` (ms) before the wall clock."""
        return NOW - self.wall(age)

    def client(self, **options: Any) -> Redis:
        host, port = self.redis.split(",")[0].split(":")
        return Redis(host, int(port), **options)

    def entity_keys(self, name: str, values: Sequence[Any]) -> list[EntityKey]:
        field = "string_val" if isinstance(values[0], str) else "int64_val"
        return [EntityKey(join_keys=[name], entity_values=[Value(**{field: v})]) for v in values]

    def statuses(self, features: Any, entities: dict[str, list[Any]]) -> dict[str, list[int]]:
        proto = self.store.get_online_features(features, entities).proto
        names = proto.metadata.feature_names.val
        return {n: list(v.statuses) for n, v in zip(names, proto.results, strict=True)}


def at(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


def _entity(view: View, payment: Payment) -> tuple[Any, ...]:
    held = {"user_id": payment.user, "merchant_id": payment.merchant}
    return tuple(held[name] for name, _ in view.join_keys)


def _values(column: list[Any]) -> Values:
    valid = np.array([value is not None for value in column], bool)
    if any(isinstance(value, str) for value in column):
        return Values(np.array([None if v is None else v.encode() for v in column], object), valid)
    whole = all(isinstance(value, int) for value in column if value is not None)
    return Values(np.array([v or 0 for v in column], np.int64 if whole else float), valid)
