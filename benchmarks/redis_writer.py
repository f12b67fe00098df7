"""Entities a second into Redis: Feast's layout by our writer and by Feast's own, and rings.

    python -m benchmarks.redis_writer --connection localhost:6379

Every rate is for one process and one connection, on the same Redis in the same run, and is the
median of the rounds. Ours starts from numpy columns and ends with the last reply; Feast's is
RedisOnlineStore.online_write_batch alone, its rows already being protobuf messages, which favours
it. `new` writes entities Redis has not seen, `update` overwrites them. The processor time a row,
here and in Redis, says what a rate is worth where nothing else runs: Redis has one thread, so 10 us
a row there are at most 100,000 rows/s. Feast's layout is measured with hashes of 30 features as tables, as
conf/redis.conf has it, as the lists they are by Redis' own default, and as tables without the append-only log.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64

from streaming.redis.bulk import Bulk, Fields, RedisTarget
from streaming.redis.wire import EntityKeys, FeatureRow

FEATURES = 30
NOW = 1_790_000_000_000
VIEW = "redis_writer"
HEADER, HEAD = b"_ring:redis_writer", b"_ring:redis_writer:head"
LISTED = "hash-max-ziplist-entries"
"""The most fields of a hash that Redis keeps as a list; later versions take it for hash-max-listpack-entries."""
LOG = "appendonly"
KINDS = {
    "features": ("tables", {LISTED: "1"}),
    "features_listed": ("lists", {LISTED: "512"}),
    "features_unlogged": ("tables, without the log,", {LISTED: "1", LOG: "no"}),
}
"""How Feast's layout is measured: in words, and what Redis is told."""


class Meter:
    """Times calls, and the processor time that they cost here and in Redis."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._taken: dict[str, list[tuple[float, ...]]] = {}

    def _redis_seconds(self) -> float:
        total = 0.0
        for master in self._bulk.masters:
            lines = self._bulk.on(master, ("INFO", "cpu"))[0].decode().splitlines()
            used = dict(line.split(":") for line in lines if ":" in line)
            total += float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
        return total

    def take(self, name: str, count: int, call: Callable[[], object]) -> None:
        """Run `call`, which handles `count` things."""
        theirs, ours, start = self._redis_seconds(), time.process_time(), time.perf_counter()
        call()
        spent = time.perf_counter() - start, time.process_time() - ours, self._redis_seconds() - theirs
        self._taken.setdefault(name, []).append(tuple(seconds / count for seconds in spent))

    def medians(self) -> dict[str, Any]:
        """Of each name: things a second, and processor microseconds a thing, here and in Redis."""
        found = {}
        for name, rounds in self._taken.items():
            wall, here, redis = (statistics.median(column) for column in zip(*rounds, strict=True))
            found[name] = {
                "per_second": round(1 / wall),
                "client_us": round(here * 1e6, 2),
                "redis_us": round(redis * 1e6, 2),
            }
        return found


@contextmanager
def _cleared(bulk: Bulk, keys: list[bytes]) -> Iterator[None]:
    """The keys do not exist before, nor after."""

    def clear() -> None:
        bulk.commands([("UNLINK", key) for key in keys], keys)

    clear()
    try:
        yield
    finally:
        clear()


@contextmanager
def _told(bulk: Bulk, settings: dict[str, str]) -> Iterator[None]:
    """Redis has these settings. Raises ServiceError where it may not be told."""
    before = [
        (master, name, bulk.on(master, ("CONFIG", "GET", name))[0][1])
        for master in bulk.masters
        for name in settings
    ]
    try:
        for master, name, _ in before:
            bulk.on(master, ("CONFIG", "SET", name, settings[name]))
        yield
    finally:
        for master, name, held in before:
            bulk.on(master, ("CONFIG", "SET", name, held))


def _store(connection: str) -> tuple[RedisOnlineStore, RepoConfig, FeatureView]:
    table = FeatureView(
        name=VIEW,
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)],
        schema=[Field(name=f"f{i}", dtype=Float64) for i in range(FEATURES)],
        source=FileSource(path="unused.parquet", timestamp_field="ts"),
    )
    config = RepoConfig(
        project="bench_feast",
        provider="local",
        registry="unused.db",
        online_store={"type": "redis", "connection_string": connection},
        entity_key_serialization_version=3,
    )
    return RedisOnlineStore(), config, table


def _rows(users: list[str], values: dict[str, np.ndarray], stamp: int) -> list[Any]:
    when = datetime.fromtimestamp(stamp / 1000, UTC)
    columns = {name: column.tolist() for name, column in values.items()}
    return [
        (
            EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)]),
            {name: Value(double_val=column[i]) for name, column in columns.items()},
            when + timedelta(milliseconds=i % 1000),
            None,
        )
        for i, user in enumerate(users)
    ]


def features(bulk: Bulk, connection: str, rows: int, feast_rows: int, rounds: int) -> dict[str, Any]:
    """30 double features an entity: ours, Feast's, their ratio, and whether the bytes are equal."""
    meter = Meter(bulk)
    rng = np.random.default_rng(7)
    users = [f"user_{i:08d}" for i in range(rows)]
    values = {f"f{i}": rng.normal(100, 50, rows) for i in range(FEATURES)}
    valid = {name: np.ones(rows, dtype=bool) for name in values}
    codec = EntityKeys("bench", (("user_id", "STRING"),))
    row = FeatureRow(VIEW, tuple((name, "DOUBLE") for name in values))
    times = NOW + np.arange(rows) % 1000
    store, config, table = _store(connection)
    few = users[:feast_rows]
    theirs = EntityKeys("bench_feast", codec.join_keys).encode(few)
    feast_values = {name: column[:feast_rows] for name, column in values.items()}
    with _cleared(bulk, theirs), _cleared(bulk, codec.encode(users)):
        for turn in range(rounds):
            messages = _rows(few, feast_values, NOW + 1000 * turn)
            meter.take("feast", feast_rows, partial(store.online_write_batch, config, table, messages, None))
            stamp = times + 1000 * turn

            def write(stamp: np.ndarray = stamp) -> None:
                bulk.hset(codec.encode(users), row.fields(values, valid, stamp))

            with _cleared(bulk, codec.encode(users)):
                meter.take("new", rows, write)
                meter.take("update", rows, write)
                ours = _hashes(bulk, codec.encode(few))
                (size,) = bulk.commands([("MEMORY", "USAGE", theirs[0])], theirs[:1])
        equal = [_hash(a) == _hash(b) for a, b in zip(ours, _hashes(bulk, theirs), strict=True)]
    result = meter.medians()
    result["times_feast"] = round(result["update"]["per_second"] / result["feast"]["per_second"], 1)
    result["times_feast_new"] = round(result["new"]["per_second"] / result["feast"]["per_second"], 1)
    result["times_feast_cpu"] = round(result["feast"]["client_us"] / result["update"]["client_us"], 1)
    result |= {"features": FEATURES, "rows": rows, "bytes": size}
    return result | {"compared": len(equal), "byte_equal": all(equal)}


def _hashes(bulk: Bulk, keys: list[bytes]) -> list[list[bytes]]:
    return bulk.commands([("HGETALL", key) for key in keys], keys)


def _hash(reply: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def rings(bulk: Bulk, rows: int, rounds: int, size: int) -> dict[str, Any]:
    """A header of 40 bytes and a head of `size`: read, written, and written behind the fence."""
    meter = Meter(bulk)
    keys = EntityKeys("bench_rings", (("user_id", "INT64"),)).encode(range(rows))
    blob = np.random.default_rng(7).bytes(size + rows)
    heads = [blob[i : i + size] for i in range(rows)]
    headers = [[b"%040d" % turn] * rows for turn in range(rounds + 1)]
    with _cleared(bulk, keys):
        bulk.hset(keys, Fields({HEADER: headers[0], HEAD: heads}))
        for turn in range(rounds):
            old, new = headers[turn], Fields({HEADER: headers[turn + 1], HEAD: heads})

            def fenced(old: list[bytes] = old, new: Fields = new) -> None:
                if not bulk.fenced_hset(keys, HEADER, old, new).all():
                    raise RuntimeError("the fence held off the only writer")

            meter.take("hset", rows, partial(bulk.hset, keys, Fields({HEADER: old, HEAD: heads})))
            meter.take("fenced", rows, fenced)
            meter.take("hmget", rows, partial(bulk.hmget, keys, [HEADER, HEAD]))
    return meter.medians() | {"bytes": size, "rows": rows}


def run(
    connection: str = "localhost:6379",
    rows: int = 50_000,
    feast_rows: int = 5_000,
    rounds: int = 3,
    cluster: bool = False,
) -> dict[str, Any]:
    """Measure on the Redis at `connection`, which should have nothing else to do.

    Writes under the projects bench, bench_feast and bench_rings, and deletes what it wrote; sets how it keeps
    hashes and its log, and sets it back. Raises RedisAway, ServiceError.
    """
    with Bulk(RedisTarget(connection, cluster)) as bulk:
        # First, because a Redis that is told to keep its log again has to write it anew.
        found = {
            "rings_300": rings(bulk, rows, rounds, 300),
            "rings_1k": rings(bulk, rows, rounds, 1000),
            "rings_15k": rings(bulk, rows // 10, rounds, 15_000),
        }
        for name, (_, settings) in KINDS.items():
            with _told(bulk, settings):
                found[name] = features(bulk, connection, rows, feast_rows, rounds)
        return found


def _line(name: str, figures: dict[str, float], note: str = "") -> str:
    rate = f"  {name:<14}{figures['per_second']:>9,.0f} /s"
    cost = f"{figures['client_us']:>7.1f} us here {figures['redis_us']:>6.1f} us in Redis"
    return f"{rate}   {cost}   {note}".rstrip()


def report(result: dict[str, Any]) -> str:
    """The result for a person."""
    lines = []
    for name, (kept, _) in KINDS.items():
        f = result[name]
        lines += [
            f"{FEATURES} double features an entity in Feast's layout, {f['rows']:,} entities, hashes as {kept} of {f['bytes']:,} bytes",
            _line(
                "ours, update",
                f["update"],
                f"{f['times_feast']:.1f} x Feast ({f['times_feast_cpu']:.0f} x by CPU here)",
            ),
            _line("ours, new", f["new"], f"{f['times_feast_new']:.1f} x Feast"),
            _line("Feast's own", f["feast"]),
            f"  bytes equal: {f['byte_equal']} ({f['compared']:,} hashes compared)",
        ]
    for name, ring in result.items():
        if name.startswith("rings"):
            lines.append(f"rings of {ring['bytes']:,} bytes and a header, {ring['rows']:,} entities")
            cost = ring["hset"]["per_second"] / ring["fenced"]["per_second"]
            lines += [
                _line("HSET", ring["hset"]),
                _line("fenced HSET", ring["fenced"], f"{cost:.1f} x HSET's time"),
            ]
            lines.append(_line("HMGET", ring["hmget"]))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--connection", default="localhost:6379", help="Feast's connection string")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = run(options.connection, options.rows, rounds=options.rounds)
    print(json.dumps(result) if options.json else report(result))


if __name__ == "__main__":
    main()
