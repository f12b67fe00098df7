"""Reading 30 features through Feast: the tiled store beside Feast's own Redis store.

    python -m benchmarks.online_read

One Redis, one process, `FeatureStore.get_online_features` (sync) of both, in turns: reads of the one
and the other alternate, so that what else the machine does meets both. Feast's own store holds the
same 30 numbers as finished values; the tiled one holds rings, with about 6 and about 90 tiles an
entity, and computes 5 windows (1 min to 7 d) of 6 statistics at every read. In a third view the last
statistic is a distinct count, of about 100 different values an entity.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from feast import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    RepoConfig,
    StreamFeatureView,
)
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from serving.catalog import view_of
from streaming import tiles
from streaming.parts import Values, order_key
from streaming.plan import View
from streaming.redis import meta
from streaming.redis.bulk import Bulk, Fields, RedisTarget
from streaming.redis.wire import EntityKeys
from streaming.ring import Headers, Offsets, RingCodec

SLIDES = {
    timedelta(minutes=1): timedelta(seconds=5),
    timedelta(minutes=5): timedelta(seconds=15),
    timedelta(hours=1): timedelta(minutes=3),
    timedelta(days=1): timedelta(hours=1),
    timedelta(days=7): timedelta(hours=6),
}
FUNCTIONS = ("count", "sum", "mean", "std", "min")
SHOPS = 100
VIEWS = {"few tiles": ("max", 6), "many tiles": ("max", 1_500), "distinct": ("count_distinct", 1_500)}
"""The sixth function, and events an entity, spread evenly over the magnitudes of age from 1 s to 7 d."""


def definitions(directory: Path) -> tuple[Entity, FeatureView, list[StreamFeatureView]]:
    """The same 30 features as a batch view and, for each number of tiles, as a stream view."""
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    past = FileSource(path=str(directory / "past.parquet"), timestamp_field="event_time")

    def features(sixth: str) -> list[tuple[str, timedelta, str]]:
        return [(f, w, f"{f}_{int(w.total_seconds())}s") for w in SLIDES for f in (*FUNCTIONS, sixth)]

    def schema(sixth: str) -> list[Field]:
        fields = [Field(name=n, dtype=Int64 if "count" in f else Float64) for f, _, n in features(sixth)]
        return [Field(name="user_id", dtype=String), *fields]

    source = KafkaSource(
        name="payments",
        kafka_bootstrap_servers="localhost:9092",
        topic="payments",
        timestamp_field="event_time",
        message_format=JsonFormat("user_id string, amount double, shop string, event_time timestamp"),
        batch_source=past,
    )
    tiled = [
        StreamFeatureView(
            name=name.replace(" ", "_"),
            entities=[user],
            schema=schema(sixth),
            source=source,
            timestamp_field="event_time",
            aggregations=[
                Aggregation("shop" if f == "count_distinct" else "amount", f, w, SLIDES[w], n)
                for f, w, n in features(sixth)
            ],
        )
        for name, (sixth, _) in VIEWS.items()
    ]
    return user, FeatureView(name="stock", entities=[user], schema=schema("max"), source=past), tiled


def write_rings(
    view: View, entities: int, events: int, redis: str, now: int, rng: np.random.Generator
) -> dict[str, float]:
    """Give every entity a ring of `events` events; returns mean tiles and bytes of one."""
    entity = np.repeat(np.arange(entities), events)
    age = np.exp(rng.uniform(np.log(1_000), np.log(7 * 86_400_000), len(entity))).astype(np.int64)
    moment = now - age
    newest = np.zeros(entities, np.int64)
    np.maximum.at(newest, entity, moment)
    all_valid = np.ones(len(entity), bool)
    values = {"amount": Values(rng.gamma(2, 40, len(entity)), all_valid), "shop": Values(entity, all_valid)}
    hashes = {"shop": rng.choice(rng.integers(0, 2**64, SHOPS, np.uint64), len(entity))}
    order = order_key(moment * 1_000, np.zeros_like(moment), np.arange(len(moment)))
    merged = tiles.merge(view, [tiles.lift(view, entity, moment, order, values, hashes)], newest)
    head, tail = tiles.split(view, merged, newest, tiles.fold(view, merged, newest))
    each, nothing = np.arange(entities), np.zeros(entities, np.int64)
    headers = Headers(
        np.ones(entities, bool),
        nothing + 1,
        np.ones(entities, np.uint64),
        nothing,
        nothing + view.schema_id,
        newest,
        Offsets(each, nothing, each),
    )
    codec = RingCodec(view)
    levels = (
        codec.encode_headers(headers),
        codec.encode_tiles(head, entities),
        codec.encode_tiles(tail, entities),
    )
    keys = EntityKeys(view.project, view.join_keys).encode([f"u{i}" for i in range(entities)])
    with Bulk(RedisTarget(redis)) as bulk:
        bulk.hset(keys, Fields(dict(zip(codec.fields, levels, strict=True))))
        meta.save(bulk, view, {feature.name: 0 for feature in view.features})
    size = sum(len(blob) for level in levels for blob in level)
    return {"tiles": len(merged) / entities, "bytes": size / entities}


def write_values(store: FeatureStore, view: FeatureView, entities: int) -> None:
    rows = [
        (
            EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=f"u{i}")]),
            {
                f.name: Value(int64_val=i) if f.dtype == Int64 else Value(double_val=i + n / 7)
                for n, f in enumerate(view.features)
            },
            datetime.now(UTC),
            None,
        )
        for i in range(entities)
    ]
    store._get_provider().online_store.online_write_batch(store.config, view, rows, None)


def alternate(reads: Sequence[Callable[[], Any]], rounds: int) -> list[np.ndarray]:
    """Seconds of each read in each round; the order of the reads turns from round to round."""
    seconds = np.empty((len(reads), rounds))
    for read in reads:
        read()
    for i in range(rounds):
        for j in range(len(reads)):
            which = (i + j) % len(reads)
            began = time.perf_counter()
            reads[which]()
            seconds[which, i] = time.perf_counter() - began
    return list(seconds)


def run(
    sizes: Sequence[int] = (1, 10, 100, 500),
    seconds: float = 20.0,
    redis: str | None = None,
    entities: int = 1_000,
) -> dict[str, Any]:
    """p50 and p99 (ms) of each store at each number of entities, and the ratios to Feast's own.

    `seconds` is about how long the whole measurement takes, `redis` (host:port) a Redis to use
    instead of one of its own; its database 9 is emptied.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = f"{redis or own_redis(stack, directory)},db=9"
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stock, tiled = (_store(directory, kind, address) for kind in STORES)
        # Feast caches resolved requests for one registry in a process: two would evict each other's at every turn.
        stock._registry = tiled.registry
        stock._get_provider().online_store._get_client(stock.config.online_store).flushdb()
        user, plain, streams = definitions(directory)
        tiled.apply([user, plain, *streams])
        write_values(stock, plain, entities)
        now, rng = time.time_ns() // 1_000_000, np.random.default_rng(1)
        result: dict[str, Any] = {"features": 30, "rings": {}, "reads": {}}
        for name, view in zip(VIEWS, streams, strict=True):
            compiled = view_of(tiled.get_stream_feature_view(view.name), tiled.config)
            result["rings"][name] = write_rings(compiled, entities, VIEWS[name][1], address, now, rng)
        views = {"feast": (stock, plain), **{n: (tiled, v) for n, v in zip(VIEWS, streams, strict=True)}}
        for size in sizes:
            result["reads"][size] = _measure(views, entities, size, seconds / len(sizes), rng)
        return result


STORES = ("redis", "serving.online_store.TiledRedisOnlineStore")


def _store(directory: Path, kind: str, address: str) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="read",
            provider="local",
            registry={"path": str(directory / "registry.db"), "cache_ttl_seconds": 3600},
            online_store={"type": kind, "connection_string": address},
            entity_key_serialization_version=3,
        )
    )


def _measure(
    views: dict[str, Any], entities: int, size: int, seconds: float, rng: np.random.Generator
) -> dict[str, Any]:
    def reader(store: FeatureStore, view: FeatureView) -> Callable[[], Any]:
        refs = [f"{view.name}:{f.name}" for f in view.features]

        def read() -> Any:
            users = rng.integers(0, entities, size).tolist()
            return store.get_online_features(refs, {"user_id": [f"u{user}" for user in users]})

        return read

    reads = [reader(*view) for view in views.values()]
    once = sum(float(times.min()) for times in alternate(reads, 5))
    measured = alternate(reads, max(20, int(seconds / once)))
    row: dict[str, Any] = {"rounds": len(measured[0])}
    for name, times in zip(views, measured, strict=True):
        p50, p99 = np.percentile(times, [50, 99]) * 1_000
        row[name] = {"p50_ms": float(p50), "p99_ms": float(p99)}
        row[name]["p50_ratio"] = float(p50) / row["feast"]["p50_ms"]
        row[name]["p99_ratio"] = float(p99) / row["feast"]["p99_ms"]
    return row


def own_redis(stack: ExitStack, directory: Path) -> str:
    """host:port of a Redis that ends with `stack`."""
    from tidemark.services.redis import RedisServer

    server = RedisServer(directory / "redis", 0)
    stack.callback(server.stop)
    return f"127.0.0.1:{server.start(20).port}"


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
