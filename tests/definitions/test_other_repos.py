"""Repos that the engine has never seen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast_repos import ROOT, applied

from streaming.definitions import load
from streaming.plan import Window


def test_a_bike_share(tmp_path: Path, spark: Any) -> None:
    plan = load(applied(ROOT / "tests" / "other_repo", tmp_path / "repo", "localhost:7777"), spark=spark)
    assert (plan.project, plan.redis, plan.warnings) == ("bikes", "localhost:7777", ())
    rides, demand = plan.views
    assert rides.join_keys == (("bike_id", "INT64"),)
    assert demand.join_keys == (("city", "STRING"), ("start_station", "INT32"))
    assert rides.condition == "((source_0.`meters` > CAST(0 AS DOUBLE)) AND (NOT (source_0.`city` = 'test')))"
    assert rides.windows == (
        Window(600_000, 30_000),
        Window(7_200_000, 600_000),
        Window(86_400_000, 86_400_000),
    )
    assert dict(rides.columns)["end_station"] == "source_0.`end_station`"
    kinds = {slot.column: slot.kind for slot in rides.slots if slot.column}
    assert kinds == {
        "battery": "i64",
        "electric": "i64",
        "end_station": "i64",
        "meters": "f64",
        "minutes": "f64",
        "rider": "str",
        "started": "i64",
    }
    assert (demand.distinct_k, demand.emit_updates) == (16, False)
    assert plan.sources[0].max_future_skew == 500


def test_what_feasts_documentation_defines(tmp_path: Path) -> None:
    """The example of the page on tiling: what Feast makes of its arguments, and what the engine makes of that."""
    repo = applied(ROOT / "tests" / "feast_docs_repo", tmp_path / "repo")
    given = FeatureStore(repo_path=str(repo)).get_stream_feature_view("customer_transaction_features")
    hour, hop = timedelta(hours=1), timedelta(minutes=5)
    assert [(a.function, a.column, a.time_window, a.name) for a in given.aggregations] == [
        ("sum", "amount", hour, ""),
        ("avg", "amount", hour, ""),
        ("std", "amount", hour, ""),
    ]
    assert {a.slide_interval for a in given.aggregations} == {hour}, "Feast's own default: no slide was given"
    assert (given.enable_tiling, given.tiling_hop_size, given.online) == (True, hop, True)
    (view,) = load(repo).views
    assert view.name == "customer_transaction_features"
    assert [f.name for f in view.features] == ["sum_amount_3600s", "avg_amount_3600s", "std_amount_3600s"]
    assert {f.window for f in view.features} == {Window(3_600_000, 300_000)}
    assert {f.dtype for f in view.features} == {"DOUBLE"}
