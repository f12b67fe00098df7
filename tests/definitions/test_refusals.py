"""Every definition that is refused, with the remedy its one line names."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, Field, FileSource
from feast.data_format import AvroFormat, JsonFormat, ProtoFormat
from feast.types import Bool, Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType
from feast_repos import register, settings
from repo_parts import HOUR, USER, aggregation, planned, source, view

from streaming.definitions import load
from streaming.definitions.cost import CostSettings
from streaming.errors import DefinitionError

SECOND = timedelta(seconds=1)


def typed(dtype: Any, *used: Any, **changes: Any) -> Any:
    return view(*used, schema=[Field(name="f", dtype=dtype)], **changes)


REFUSED: dict[str, tuple[Any, str]] = {
    "slide": (
        view(aggregation(slide_interval=timedelta(minutes=7))),
        r"aggregation f: its window of 1:00:00 is not a multiple of its slide of 0:07:00: choose a slide that divides",
    ),
    "hop": (
        view(aggregation(slide_interval=HOUR), enable_tiling=True, tiling_hop_size=timedelta(minutes=7)),
        "not a multiple of its slide of 0:07:00: choose a slide",
    ),
    "microseconds": (
        view(aggregation(slide_interval=timedelta(microseconds=500))),
        "slide_interval 0:00:00.000500 is not a whole number of milliseconds: round it",
    ),
    "no window": (
        view(aggregation(time_window=None)),
        "it has no time window: give the Aggregation a time_window",
    ),
    "column": (
        view(aggregation(column="amont")),
        "there is no column amont: the columns are amount, at, big",
    ),
    "function": (view(aggregation("median")), "unknown aggregation function 'median': use one of .*mean"),
    "no column": (view(aggregation("sum", "*")), "sum needs a column: name one"),
    "sum of text": (
        view(aggregation("sum", "note")),
        "sum needs a number and note is a text: cast it in the view's udf",
    ),
    "mean of time": (view(aggregation("mean", "at")), "mean needs a number and at is a timestamp: cast it"),
    "std of array": (view(aggregation("std", "tags")), "std needs a number and tags is a other: cast it"),
    "max of array": (
        view(aggregation("max", "tags")),
        "tags is nested or binary, which max cannot keep: pick one",
    ),
    "distinct arrays": (
        view(aggregation("count_distinct", "tags")),
        "tags is nested, which count_distinct cannot compare",
    ),
    "undeclared": (
        view(aggregation(name="g"), schema=[Field(name="f", dtype=Float64)]),
        r"Feast would not serve it: add Field\(name='g', dtype=Float64\)",
    ),
    "undeclared text": (
        view(aggregation("last", "note", "g"), schema=[Field(name="f", dtype=Float64)]),
        r"add Field\(name='g', dtype=String\)",
    ),
    "mean as integer": (typed(Int64), "sum cannot be served as Int64: declare it Float64 or Float32"),
    "count as text": (
        typed(String, aggregation("count")),
        "count cannot be served as String: declare it Int64 or Int32",
    ),
    "max type": (
        typed(Int64, aggregation("max")),
        "max over a number cannot be served as Int64: declare it Float64",
    ),
    "last type": (
        typed(Float64, aggregation("last", "points")),
        "last over a integer .* as Float64: declare it Int64",
    ),
    "time type": (
        typed(Int64, aggregation("max", "at")),
        "max over a timestamp .*: declare it UnixTimestamp",
    ),
    "flag type": (typed(Int64, aggregation("last", "ok")), "last over a boolean .*: declare it Bool"),
    "two names": (
        view(aggregation(), aggregation("max")),
        "two aggregations are called f: give one another name",
    ),
    "slides": (
        view(
            *[
                aggregation(name=f"f{n}", time_window=n * SECOND, slide_interval=n * SECOND)
                for n in range(1, 22)
            ],
        ),
        "it has 21 different slides, at most 20 are possible: split it in two",
    ),
    "view time": (view(timestamp_field="then"), "there is no timestamp column then: keep it"),
    "view time type": (
        view(timestamp_field="note"),
        "its timestamp column note is string: make it a timestamp",
    ),
    "distinct_k": (
        view(tags={"distinct_k": "many"}),
        "tag distinct_k='many' is not a whole number from 2 to 65535",
    ),
    "updates": (
        view(tags={"updates": "no"}),
        "tag updates='no' is neither 'true' nor 'false': write one of them",
    ),
    "topic": (view(source=source(topic="")), "source events: it names no topic: add it to the KafkaSource"),
    "brokers": (
        view(source=source(kafka_bootstrap_servers="")),
        "it names no kafka_bootstrap_servers: add it",
    ),
    "time column": (
        view(source=source(timestamp_field="then")),
        "timestamp_field names column then, which its messages lack",
    ),
    "time as text": (
        view(source=source(timestamp_field="note")),
        "timestamp_field note is string, .*: declare it TIMESTAMP",
    ),
    "event id": (
        view(source=source(tags={"event_id": "id"})),
        "tag event_id names column id, which its messages lack",
    ),
    "nested id": (
        view(source=source(tags={"event_id": "tags"})),
        "tag event_id names tags, which is nested: name a plain",
    ),
    "skew": (
        view(source=source(tags={"max_future_skew": "5"})),
        "tag max_future_skew='5' is not a duration: write it like",
    ),
    "deduplicate": (
        view(source=source(tags={"deduplicate": "0"})),
        "tag deduplicate='0' is neither 'true' nor 'false'",
    ),
    "protobuf": (
        view(source=source(message_format=ProtoFormat(class_path="a.B"))),
        "source events: ProtoFormat cannot be read: use JsonFormat or AvroFormat",
    ),
    "avro": (
        view(source=source(message_format=AvroFormat(schema_json=""))),
        "Avro messages need their schema: put it",
    ),
    "no schema": (
        view(source=source(message_format=JsonFormat(schema_json=""))),
        "its message format has no schema and batch source past cannot be read .*: write its schema into the message",
    ),
    "mode": (
        view(mode="pandas", udf=lambda df: df, udf_string=""),
        "its udf is of mode pandas: write it for mode='spark'",
    ),
    "python mode": (
        view(mode="python", udf=lambda df: df, udf_string=""),
        "its udf is of mode python: write it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(tmp_path: Path, name: str) -> None:
    refused, message = REFUSED[name]
    store = register(tmp_path, USER, refused)
    with pytest.raises(DefinitionError, match=message) as caught:
        load(store)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "kind", "message"),
    [
        (
            "amount",
            ValueType.DOUBLE,
            r"join key amount of entity user is DOUBLE: give the entity a value_type of",
        ),
        ("who", ValueType.STRING, r"join key who is not among its columns, .*: add it"),
        ("note", ValueType.INT64, r"join key note is string in the messages and INT64 in Feast: make"),
        ("amount", ValueType.STRING, r"join key amount is double in the messages and STRING in Feast: make"),
    ],
)
def test_join_keys(tmp_path: Path, key: str, kind: ValueType, message: str) -> None:
    entity = Entity(name="user", join_keys=[key], value_type=kind)
    with pytest.raises(DefinitionError, match=message):
        load(register(tmp_path, entity, view(entities=[entity])))


def test_a_source_without_timestamp(tmp_path: Path) -> None:
    store = register(tmp_path, USER, view())
    held = store.registry.get_stream_feature_view("v", "tests")
    assert held.stream_source is not None
    held.stream_source.timestamp_field = ""
    store.registry.apply_feature_view(held, "tests")
    with pytest.raises(
        DefinitionError, match="source events: it names no timestamp_field: the engine needs the time"
    ):
        load(store)


def test_a_ring_that_could_grow_beyond_the_cap(tmp_path: Path) -> None:
    store = register(tmp_path, USER, view())
    with pytest.raises(
        DefinitionError, match=r"view v: a ring could take .* above the cap of 100: use longer slides"
    ):
        load(store, settings=CostSettings(max_ring_bytes=100))


def test_one_topic_under_two_sources(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionError, match="sources a and b both read topic events: let their views share one"
    ):
        planned(tmp_path, view(name="v", source=source(name="a")), view(name="w", source=source(name="b")))


def test_one_source_in_two_versions(tmp_path: Path) -> None:
    store = register(tmp_path, USER, view(), view(name="w"))
    stale = store.registry.get_stream_feature_view("w", "tests")
    stale.stream_source.kafka_options.topic = "other"
    store.registry.apply_feature_view(stale, "tests")
    with pytest.raises(DefinitionError, match="source events differs between views: run feast apply again"):
        load(store)


def test_colliding_field_hashes(tmp_path: Path) -> None:
    from feast.infra.online_stores.helpers import _mmh3

    seen: dict[bytes, str] = {}
    for n in range(2_000_000):
        other = seen.setdefault(_mmh3(f"v:f{n}"), f"f{n}")
        if other != f"f{n}":
            break
    with pytest.raises(
        DefinitionError,
        match=rf"features v:(?:{other}|f{n}) and v:(?:{other}|f{n}) have the same field .*: rename one",
    ):
        planned(tmp_path, view(aggregation(name=other), aggregation("max", name=f"f{n}")))


def test_types_that_disagree_about_a_column_made_by_a_udf(tmp_path: Path) -> None:
    fields = [Field(name="a", dtype=Int64), Field(name="b", dtype=Float64)]
    used = [aggregation("max", "made", "a"), aggregation("min", "made", "b")]
    held = view(*used, schema=fields, mode="spark", udf=lambda events: events, udf_string="")
    with pytest.raises(
        DefinitionError, match="min, max, first and last of made are declared with different types: use"
    ):
        planned(tmp_path, held)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"online_store": {"type": "sqlite", "path": "o.db"}},
            "online store sqlite is not one that the engine writes",
        ),
        (
            {"entity_key_serialization_version": 2},
            "set entity_key_serialization_version: 3 in feature_store.yaml",
        ),
    ],
)
def test_stores(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    store = register(tmp_path, USER, view())
    import yaml

    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump({**settings(), **changes}))
    with pytest.raises(DefinitionError, match=message):
        load(Path(store.repo_path))


def test_no_repo_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionError, match=r"there is no .*feature_store.yaml: name the folder of a Feast repo"
    ):
        load(tmp_path)
    with pytest.raises(
        DefinitionError, match=r"project tests has no stream view .*: define one and run feast apply"
    ):
        load(register(tmp_path, USER))
    (tmp_path / "feature_store.yaml").write_text(
        "project: tests\nregistry: r.db\nprovider: nowhere\nonline_store: {type: x.Y}\n"
    )
    with pytest.raises(DefinitionError, match=r"feature_store.yaml: "):
        load(tmp_path)


def test_a_udf_that_cannot_be_loaded(tmp_path: Path, spark: Any) -> None:
    import sys
    import types

    module = types.ModuleType("gone_tomorrow")
    exec("def udf(events):\n    return events\n", module.__dict__)
    sys.modules["gone_tomorrow"] = module
    store = register(tmp_path, USER, view(mode="spark", udf=module.udf, udf_string=""))
    del sys.modules["gone_tomorrow"]
    with pytest.raises(
        DefinitionError, match=r"a view's udf cannot be loaded .*: import what it needs inside it"
    ):
        load(tmp_path, spark=spark)
    assert store.project == "tests"


def test_a_file_source_is_named_when_it_is_missing(tmp_path: Path) -> None:
    missing = FileSource(name="nowhere", path="data/none.parquet", timestamp_field="at")
    held = view(source=source(message_format=JsonFormat(schema_json=""), batch_source=missing))
    with pytest.raises(DefinitionError, match="batch source nowhere cannot be read"):
        planned(tmp_path, held)


def test_a_timestamp_stays_a_timestamp(tmp_path: Path) -> None:
    held = view(
        aggregation("max", "seen"), schema=[Field(name="f", dtype=UnixTimestamp), Field(name="g", dtype=Bool)]
    )
    plan = planned(tmp_path, held)
    assert plan.warnings == ("view v declares g, which no aggregation computes: read as null",)
