"""What a registered view becomes."""

from __future__ import annotations

import pickle
from datetime import timedelta
from pathlib import Path

import pytest
from feast import Entity, FeatureView, Field, FileSource, Project, PushSource
from feast.data_format import JsonFormat
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType
from feast_repos import register
from repo_parts import HOUR, MINUTES, USER, aggregation, only, planned, source, view

from streaming.definitions import load
from streaming.errors import DefinitionError
from streaming.plan import Slot, Window

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000


def test_a_plain_view(tmp_path: Path) -> None:
    plan = planned(tmp_path, view())
    held = only(plan)
    assert (plan.project, plan.redis, plan.redis_cluster, plan.write_features) == (
        "tests",
        "localhost:6379",
        False,
        False,
    )
    assert held.join_keys == (("user_id", "STRING"),)
    assert held.features[0].window == Window(HOUR_MS, 5 * MINUTE_MS)
    assert held.slots == (Slot("sum", "amount", "f64"),)
    assert held.keys == (("user_id", "source_0.`user_id`"),)
    assert held.columns == (("amount", "source_0.`amount`"),)
    assert held.timestamp == "source_0.`at`"
    (events,) = plan.sources
    assert (events.topic, events.format, events.watermark_delay, events.max_future_skew) == (
        "events",
        "json",
        120_000,
        5000,
    )
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_tags_and_settings_of_source_and_view(tmp_path: Path) -> None:
    tagged = source(
        tags={"event_id": "note", "max_future_skew": "500ms", "deduplicate": "false", "owner": "anyone"},
        watermark_delay_threshold=timedelta(seconds=90),
    )
    marked = view(source=tagged, tags={"distinct_k": "64", "updates": "false", "tier": "gold"})
    plan = planned(tmp_path, marked, online_store={"type": "redis", "redis_type": "redis_cluster"})
    (events,) = plan.sources
    assert (events.event_id, events.max_future_skew, events.deduplicate, events.watermark_delay) == (
        "note",
        500,
        False,
        90_000,
    )
    assert (only(plan).distinct_k, only(plan).emit_updates) == (64, False)
    assert plan.redis_cluster


@pytest.mark.parametrize(
    ("slide", "tiling", "hop", "expected"),
    [
        (None, False, None, HOUR_MS),
        (None, True, None, 5 * MINUTE_MS),
        (HOUR, True, timedelta(minutes=2), 2 * MINUTE_MS),
        (timedelta(minutes=10), True, timedelta(minutes=2), 10 * MINUTE_MS),
        (timedelta(milliseconds=250), False, None, 250),
    ],
)
def test_slides(
    tmp_path: Path, slide: timedelta | None, tiling: bool, hop: timedelta | None, expected: int
) -> None:
    held = view(aggregation(slide_interval=slide), enable_tiling=tiling, tiling_hop_size=hop)
    assert only(planned(tmp_path, held)).features[0].window.slide == expected


def test_nameless_aggregations_are_called_what_feasts_engines_call_them(tmp_path: Path) -> None:
    day = timedelta(days=1)
    nameless = [
        aggregation("avg", name=None),
        aggregation("avg", name=None, time_window=day),
        aggregation("count", "", None),
    ]
    held = only(planned(tmp_path, view(*nameless)))
    assert [f.name for f in held.features] == ["avg_amount_3600s", "avg_amount_86400s", "count__3600s"]
    assert [f.function for f in held.features] == ["mean", "mean", "count"]


def test_a_nameless_aggregation_may_be_declared_without_its_window(tmp_path: Path) -> None:
    held = view(aggregation("max", name=None), schema=[Field(name="max_amount", dtype=Float64)])
    assert [f.name for f in only(planned(tmp_path, held)).features] == ["max_amount"]


@pytest.mark.parametrize(("alias", "name"), [("avg", "mean"), ("stddev", "std"), ("variance", "var")])
def test_aliases(tmp_path: Path, alias: str, name: str) -> None:
    assert only(planned(tmp_path, view(aggregation(alias)))).features[0].function == name


def test_count_of_star_counts_events(tmp_path: Path) -> None:
    held = only(planned(tmp_path, view(aggregation("count", "*"))))
    assert held.slots == (Slot("rows", "", "i64"),)
    assert held.columns == ()


def test_values_are_held_in_the_columns_own_type(tmp_path: Path) -> None:
    kinds = [
        ("last", "note", String, "str"),
        ("max", "at", UnixTimestamp, "i64"),
        ("first", "ok", Bool, "i64"),
        ("min", "points", Int32, "i64"),
        ("max", "big", Int64, "i64"),
        ("max", "price", Float64, "f64"),
        ("min", "day", String, "str"),
        ("last", "amount", Float32, "f64"),
    ]
    used = [aggregation(function, column, f"{function}_{column}") for function, column, _, _ in kinds]
    fields = [Field(name=f"{function}_{column}", dtype=dtype) for function, column, dtype, _ in kinds]
    held = only(planned(tmp_path, view(*used, schema=fields)))
    assert {(s.column, s.kind) for s in held.slots} == {(column, kind) for _, column, _, kind in kinds}


def test_slots_do_not_depend_on_the_order_of_aggregations(tmp_path: Path) -> None:
    used = [
        aggregation("std", name="a"),
        aggregation("max", name="b"),
        aggregation("count", "note", name="c"),
    ]
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    one, other = (
        only(planned(tmp_path / "1", view(*used))),
        only(planned(tmp_path / "2", view(*reversed(used)))),
    )
    assert one.slots == other.slots
    assert one.schema_id == other.schema_id


def test_a_nan_is_a_null_where_values_are_only_counted(tmp_path: Path) -> None:
    held = only(
        planned(
            tmp_path, view(aggregation("count", "amount", "n"), aggregation("count_distinct", "big", "d"))
        )
    )
    assert dict(held.columns)["amount"].startswith("CASE WHEN abs(source_0.`amount`) < ")
    assert dict(held.columns)["big"] == "source_0.`big`"


def test_without_spark_a_udf_leaves_the_same_layout_and_no_sql(tmp_path: Path, spark) -> None:
    def udf(events):
        from pyspark.sql import functions as F

        return events.withColumn("cents", F.col("amount") * 100).filter("ok")

    used = [
        aggregation("sum", "cents", "a"),
        aggregation("last", "note", "b"),
        aggregation("count", "cents", "c"),
    ]
    fields = [Field(name="a", dtype=Float64), Field(name="b", dtype=String), Field(name="c", dtype=Int64)]
    store = register(tmp_path, USER, view(*used, schema=fields, mode="spark", udf=udf, udf_string="udf"))
    reader, lane = only(load(store)), only(load(store, spark=spark))
    assert (reader.slots, reader.features, reader.schema_id) == (lane.slots, lane.features, lane.schema_id)
    assert (reader.columns, reader.keys, reader.timestamp, reader.condition) == ((), (), "", "")
    assert dict(lane.columns)["cents"] == "(source_0.`amount` * CAST(100 AS DOUBLE))"
    assert lane.condition == "source_0.`ok`"
    assert load(store, spark=spark) == load(store, spark=spark)


def test_reading_a_registry_with_udfs_starts_no_spark(tmp_path: Path) -> None:
    import subprocess
    import sys

    register(tmp_path, USER, view(mode="spark", udf=lambda events: events, udf_string="same"))
    code = (
        "import sys, feast; feast.FeatureStore(sys.argv[1]).list_stream_feature_views(); "
        "from streaming.definitions import load; load(sys.argv[1]); "
        "from pyspark import SparkContext; assert SparkContext._gateway is None"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)


def test_columns_come_from_the_batch_source_when_the_format_has_none(tmp_path: Path) -> None:
    import pandas as pd

    (tmp_path / "data").mkdir()
    at = pd.to_datetime(["2024-01-01"], utc=True)
    frame = pd.DataFrame({"user_id": ["a"], "amount": [1.0], "f": [1.0], "at": at, "n": [1]})
    frame.to_parquet(tmp_path / "data" / "past.parquet")
    held = view(source=source(message_format=JsonFormat(schema_json="")), schema=[])
    plan = planned(tmp_path, held)
    assert plan.sources[0].schema.count('"name"') == 5
    assert only(plan).features[0].dtype == "DOUBLE"
    assert plan.warnings == ("view v declares amount, n, which no aggregation computes: read as null",)


def test_two_keys_and_integer_keys(tmp_path: Path) -> None:
    shop = Entity(name="shop", join_keys=["big"], value_type=ValueType.INT64)
    store = register(tmp_path, USER, shop, view(entities=[USER, shop]))
    assert only(load(store)).join_keys == (("big", "INT64"), ("user_id", "STRING"))


def test_a_view_without_entity_is_about_everything(tmp_path: Path) -> None:
    held = only(load(register(tmp_path, view(entities=[]))))
    assert held.join_keys == (("__dummy_id", "STRING"),)
    assert held.keys == (("__dummy_id", "''"),)


def test_renamed_columns(tmp_path: Path) -> None:
    held = view(aggregation(column="money"), source=source(field_mapping={"amount": "money"}))
    assert only(planned(tmp_path, held)).columns == (("money", "source_0.`amount`"),)


def test_views_are_picked_and_others_are_explained(tmp_path: Path) -> None:
    push = PushSource(
        name="pushed", batch_source=FileSource(name="p", path="p.parquet", timestamp_field="at")
    )
    store = register(
        tmp_path,
        USER,
        view(),
        view(name="w", source=source(name="others", topic="others")),
        view(name="raw", aggregations=[]),
        view(name="pushy", source=push),
        view(name="resting", online=False),
    )
    assert [v.name for v in load(store).views] == ["v", "w"]
    assert [s.name for s in load(store).sources] == ["events", "others"]
    picked = load(store, ["w"])
    assert [v.name for v in picked.views] == ["w"]
    assert [s.name for s in picked.sources] == ["others"]
    assert picked.views[0].timestamp == "source_0.`at`"
    remarks = "\n".join(picked.warnings)
    for text in ("raw has no aggregations", "pushy reads PushSource", "resting is offline only"):
        assert text in remarks
    with pytest.raises(DefinitionError, match="no stream view raw to compute: choose from v, w"):
        load(store, ["raw"])


def test_a_versioned_view_is_stored_under_its_version(tmp_path: Path) -> None:
    registry = {"path": "data/registry.db", "enable_online_feature_view_versioning": True}
    store = register(tmp_path, USER, view(), registry=registry)
    assert only(load(store)).stored_name == "v"
    store.apply([USER, view(aggregation("max"))])
    assert only(load(store)).stored_name == "v_v1"


def test_projects_whose_names_end_alike_are_warned_of(tmp_path: Path) -> None:
    store = register(tmp_path, USER, view())
    store.registry.apply_project(Project(name="more_tests"))
    (warning,) = load(store).warnings
    assert warning.startswith("project names more_tests and tests end alike")


def test_a_batch_view_on_the_same_entity_is_no_stream_view(tmp_path: Path) -> None:
    batch = FeatureView(
        name="profile",
        entities=[USER],
        schema=[Field(name="age", dtype=Int64)],
        source=FileSource(name="profiles", path="p.parquet", timestamp_field="at"),
    )
    assert [v.name for v in load(register(tmp_path, USER, view(), batch)).views] == ["v"]


def test_one_slide_may_be_five_minutes_whatever_the_window(tmp_path: Path) -> None:
    used = [
        aggregation(name=f"f{h}", time_window=timedelta(hours=h), slide_interval=MINUTES) for h in (1, 24)
    ]
    held = only(planned(tmp_path, view(*used)))
    assert held.base == 5 * MINUTE_MS
    assert held.windows == (Window(HOUR_MS, 5 * MINUTE_MS), Window(DAY_MS, 5 * MINUTE_MS))


def test_a_key_wider_than_its_entity_and_a_time_without_zone(tmp_path: Path) -> None:
    narrow = Entity(name="narrow", join_keys=["big"], value_type=ValueType.INT32)
    local = source(message_format=JsonFormat(schema_json="big BIGINT, amount DOUBLE, at TIMESTAMP_NTZ"))
    held = only(load(register(tmp_path, narrow, view(entities=[narrow], source=local))))
    assert held.keys == (("big", "try_cast(source_0.`big` AS INT)"),)
    assert held.timestamp == "CAST(source_0.`at` AS TIMESTAMP)"
