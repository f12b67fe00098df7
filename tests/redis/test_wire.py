"""Feast's layout, byte by byte against Feast's own functions and its own store on a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key, _redis_key_prefix
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_server import Server, server

from streaming.errors import DefinitionError, TidemarkError
from streaming.redis.bulk import Bulk, RedisTarget
from streaming.redis.wire import (
    EntityKeys,
    FeatureRow,
    encode_timestamps,
    encode_values,
    feature_field,
    timestamp_field,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
KEY_VALUES = {
    "STRING": ("string_val", TEXT),
    "BYTES": ("bytes_val", st.binary(max_size=200)),
    "INT32": ("int32_val", INT32),
    "INT64": ("int64_val", INT64),
    "UNIX_TIMESTAMP": ("unix_timestamp_val", INT64),
}
MICROS = st.integers(-(10**15), 10**16)


def finite(dtype: type[np.floating]) -> Callable[[float], float | None]:
    """What Feast is given for a number that `dtype` may not hold: None is null."""

    def to_feast(value: float) -> float | None:
        with np.errstate(over="ignore"):
            return value if np.isfinite(dtype(value)) else None

    return to_feast


# (values, the numpy dtype they are held in, what Feast is given for one of them)
VALUES = {
    "DOUBLE": (st.floats(allow_nan=False), np.float64, finite(np.float64)),
    "FLOAT": (st.floats(allow_nan=False), np.float64, finite(np.float32)),
    "INT64": (INT64, np.int64, int),
    "INT32": (INT32, np.int64, int),
    "BOOL": (st.booleans(), np.bool_, bool),
    "STRING": (TEXT, object, str),
    "UNIX_TIMESTAMP": (MICROS, np.int64, lambda us: EPOCH + timedelta(microseconds=int(us))),
}
quick = settings(max_examples=60)


def serialised(dtype: str, values: list[object]) -> list[bytes]:
    """What Feast stores for these values, None being null."""
    return [v.SerializeToString() for v in python_values_to_proto_values(values, ValueType[dtype])]


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, np.ndarray, np.ndarray]:
    dtype = draw(st.sampled_from(sorted(VALUES)))
    values = draw(st.lists(VALUES[dtype][0], min_size=1, max_size=30))
    valid = draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    return dtype, np.array(values, dtype=VALUES[dtype][1]), np.array(valid)


@quick
@given(columns())
def test_values_are_feasts(column: tuple[str, np.ndarray, np.ndarray]) -> None:
    dtype, values, valid = column
    given_to_feast = [
        VALUES[dtype][2](v) if ok else None for v, ok in zip(values.tolist(), valid, strict=True)
    ]
    assert encode_values(dtype, values, valid) == serialised(dtype, given_to_feast)


def test_what_is_not_finite_is_feasts_null() -> None:
    values = np.array([1.5, np.nan, -np.inf, np.inf])
    assert encode_values("DOUBLE", values, np.ones(4, bool)) == serialised("DOUBLE", [1.5, None, None, None])
    assert serialised("DOUBLE", [None, float("nan")]) == [b"", b""]


def test_what_a_float_cannot_hold_is_feasts_null() -> None:
    largest = float(np.finfo(np.float32).max)
    values = [largest, largest * (1 + 1e-9), largest * (1 + 1e-7), -1e39, 1e308]
    expected = serialised("FLOAT", [largest, largest, None, None, None])
    assert encode_values("FLOAT", np.array(values), np.ones(5, bool)) == expected


def test_large_integers_beside_nulls_stay_exact() -> None:
    """Feast converts such a column by way of float64 and stores 2**53; this is the exception."""
    values, valid = np.array([2**53 + 1, 0]), np.array([True, False])
    stored = Value()
    stored.ParseFromString(encode_values("INT64", values, valid)[0])
    assert stored.int64_val == 2**53 + 1


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1])
def test_a_value_too_large_names_the_remedy(value: int) -> None:
    with pytest.raises(TidemarkError, match="declare the feature Int64"):
        encode_values("INT32", np.array([value]), np.array([True]))


def test_a_float_that_is_no_integer_names_the_remedy() -> None:
    with pytest.raises(TidemarkError, match="declare the feature Float64"):
        encode_values("INT64", np.array([1e30]), np.array([True]))
    assert encode_values("INT64", np.array([2.9, np.nan]), np.array([True, False])) == serialised(
        "INT64", [2, None]
    )


@quick
@given(st.lists(st.integers(-(10**13), 10**14), min_size=1, max_size=20), st.sampled_from(["ms", "us"]))
def test_timestamps_are_protobufs(times: list[int], unit: str) -> None:
    expected = []
    for t in times:
        stamp = Timestamp()
        stamp.FromNanoseconds(t * (1_000_000 if unit == "ms" else 1_000))
        expected.append(stamp.SerializeToString())
    assert encode_timestamps(np.array(times), unit) == expected


@st.composite
def entities(draw: st.DrawFn) -> tuple[tuple[tuple[str, str], ...], list[tuple[object, ...]]]:
    names = draw(st.lists(st.text("ab_éz", min_size=1, max_size=8), min_size=1, max_size=3, unique=True))
    keys = tuple((name, draw(st.sampled_from(sorted(KEY_VALUES)))) for name in names)
    rows = st.tuples(*(KEY_VALUES[dtype][1] for _, dtype in keys))
    return keys, draw(st.lists(rows, min_size=1, max_size=10))


@quick
@given(entities(), st.sampled_from(["proj", "zürich", ""]))
def test_keys_are_feasts(
    drawn: tuple[tuple[tuple[str, str], ...], list[tuple[object, ...]]], project: str
) -> None:
    join_keys, rows = drawn
    codec = EntityKeys(project, join_keys)
    expected = []
    for row in rows:
        values = [Value(**{KEY_VALUES[t][0]: v}) for (_, t), v in zip(join_keys, row, strict=True)]
        expected.append(
            _redis_key(project, EntityKey(join_keys=[n for n, _ in join_keys], entity_values=values))
        )
    assert codec.encode(rows) == expected
    assert codec.prefix == _redis_key_prefix([name for name, _ in join_keys])
    if len(join_keys) == 1:
        assert codec.encode([value for (value,) in rows]) == expected


def test_keys_of_numpy_integers() -> None:
    key = EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=1001)])
    codec = EntityKeys("proj", (("user_id", "INT64"),))
    assert codec.encode(np.array([1001])) == [serialize_entity_key(key, 3) + b"proj"]


def test_a_key_type_that_feast_refuses() -> None:
    with pytest.raises(DefinitionError, match=r"join key score is DOUBLE.*use BYTES"):
        EntityKeys("proj", (("score", "DOUBLE"),))


@quick
@given(TEXT, TEXT)
def test_fields_are_feasts(view: str, feature: str) -> None:
    assert feature_field(view, feature) == _mmh3(f"{view}:{feature}")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("wire")) as running:
        yield running


FEAST_TYPES = {
    "DOUBLE": Float64,
    "FLOAT": Float32,
    "INT64": Int64,
    "INT32": Int32,
    "BOOL": Bool,
    "STRING": String,
    "UNIX_TIMESTAMP": UnixTimestamp,
}


@settings(max_examples=15)
@given(st.data())
def test_a_hash_is_the_one_feast_writes(redis: Server, data: st.DataObject) -> None:
    """The same rows through RedisOnlineStore.online_write_batch and through our writer: equal HGETALL."""
    users = data.draw(st.lists(TEXT, min_size=1, max_size=8, unique=True))
    dtypes = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6))
    features = tuple((f"f{i}", dtype) for i, dtype in enumerate(dtypes))
    flags = st.lists(st.booleans(), min_size=len(users), max_size=len(users))
    values, valid, feast_values = {}, {}, {}
    for name, dtype in features:
        strategy, numpy_type, to_feast = VALUES[dtype]
        drawn = data.draw(st.lists(strategy, min_size=len(users), max_size=len(users)))
        values[name], valid[name] = np.array(drawn, dtype=numpy_type), np.array(data.draw(flags))
        feast_values[name] = python_values_to_proto_values(
            [to_feast(v) if ok else None for v, ok in zip(values[name].tolist(), valid[name], strict=True)],
            ValueType[dtype],
        )
    millis = data.draw(st.lists(st.integers(1, 4 * 10**12), min_size=len(users), max_size=len(users)))

    table = FeatureView(
        name="txn_stats",
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)],
        schema=[Field(name=name, dtype=FEAST_TYPES[dtype]) for name, dtype in features],
        source=FileSource(path="unused.parquet", timestamp_field="ts"),
    )
    rows = []
    for i, user in enumerate(users):
        key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)])
        stamp = EPOCH + timedelta(milliseconds=millis[i])
        rows.append((key, {name: column[i] for name, column in feast_values.items()}, stamp, None))
    RedisOnlineStore().online_write_batch(config(redis, 0), table, rows, None)

    keys = EntityKeys("proj", (("user_id", "STRING"),)).encode(users)
    with Bulk(RedisTarget(f"{redis.connection},db=1")) as bulk:
        bulk.hset(keys, FeatureRow("txn_stats", features).fields(values, valid, np.array(millis)))
    theirs, ours = redis.client(db=0), redis.client(db=1)
    for key in keys:
        assert ours.hgetall(key) == theirs.hgetall(key) != {}
    assert theirs.hget(keys[0], timestamp_field("txn_stats")) == encode_timestamps(np.array(millis[:1]))[0]
    assert theirs.dbsize() == ours.dbsize()
    redis.client().flushall()


def config(redis: Server, db: int) -> RepoConfig:
    return RepoConfig(
        project="proj",
        provider="local",
        registry=str(Path(redis.directory) / "registry.db"),
        online_store={"type": "redis", "connection_string": f"{redis.connection},db={db}"},
        entity_key_serialization_version=3,
    )


def test_the_pattern_finds_the_keys_and_no_others(redis: Server) -> None:
    name = "u*[?]" + "x" * 37  # 42 bytes long: its length byte is a "*"
    codec = EntityKeys("proj", ((name, "INT64"),))
    client = redis.client()
    client.mset({codec.encode([5])[0]: "", EntityKeys("proj", (("v" * 42, "INT64"),)).encode([5])[0]: ""})
    assert list(client.scan_iter(codec.pattern)) == codec.encode([5])
    client.flushall()
