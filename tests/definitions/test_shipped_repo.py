"""The shipped Feast repo: applied as a user would, complete, and right where it computes something."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore
from feast_repos import ROOT, feast, imported_from

from generators.contracts import STREAMS
from generators.schema import field_names
from streaming.definitions import load
from streaming.definitions.cost import worst_case_bytes
from streaming.plan import Plan, View

REPO = ROOT / "feature_repo"
SPECIFIED = {
    "user_claims": (
        "claim_count_1hr total_claim_amount_1hr avg_claim_amount_1hr max_claim_amount_1hr stddev_claim_amount_1hr "
        "last_claim_timestamp_1hr claim_count_6hr total_claim_amount_6hr avg_claim_amount_6hr distinct_claim_types_6hr "
        "claim_count_24hr total_claim_amount_24hr avg_claim_amount_24hr stddev_claim_amount_24hr max_claim_amount_24hr "
        "min_claim_amount_24hr distinct_locations_24hr last_claim_timestamp claim_count_1min claim_count_5min "
        "claim_count_7d avg_claim_amount_1min avg_claim_amount_5min avg_claim_amount_7d"
    ),
    "user_transactions": (
        "transaction_count_1hr total_amount_1hr avg_transaction_amount_1hr max_transaction_amount_1hr "
        "distinct_merchants_1hr distinct_locations_1hr online_transactions_1hr transaction_count_24hr total_amount_24hr "
        "avg_transaction_amount_24hr stddev_transaction_amount_24hr max_transaction_amount_24hr "
        "min_transaction_amount_24hr distinct_merchants_24hr distinct_locations_24hr distinct_categories_24hr "
        "transaction_count_7d avg_transaction_amount_7d max_transaction_amount_7d distinct_merchants_7d "
        "transaction_count_1min transaction_count_5min avg_transaction_amount_1min avg_transaction_amount_5min"
    ),
    "merchant_transactions": "merchant_transaction_count_24hr merchant_avg_amount_24hr merchant_unique_users_24hr",
    "card_transactions": (
        "num_trans_last_10m avg_amt_last_10m num_trans_last_1w avg_amt_last_1w txn_count_last_10_min avg_amt_last_1_hour"
    ),
    "device_telemetry": (
        "reading_count_5min anomaly_count_5min avg_risk_score_5min max_risk_score_5min avg_temperature_5min "
        "stddev_temperature_5min max_temperature_5min min_temperature_5min reading_count_1hr anomaly_count_1hr "
        "avg_packet_loss_1hr avg_latency_1hr max_latency_1hr reading_count_24hr anomaly_count_24hr avg_risk_score_24hr "
        "avg_battery_level_24hr min_battery_level_24hr reading_count_1min reading_count_7d avg_risk_score_1min "
        "avg_risk_score_1hr avg_risk_score_7d"
    ),
    "device_type_telemetry": "device_type_count_1hr device_type_avg_risk_1hr device_type_anomalies_1hr",
    "provider_claims": "provider_claim_count_24hr",
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped") / "feature_repo"
    shutil.copytree(REPO, folder, ignore=shutil.ignore_patterns("registry.db", "__pycache__"))
    feast(folder, "apply")
    return folder


@pytest.fixture(scope="module")
def plan(repo: Path, spark: Any) -> Plan:
    return load(repo, spark=spark)


@pytest.fixture(scope="module")
def module(repo: Path) -> Iterator[ModuleType]:
    """The repo's own module of services, imported as Feast imports it."""
    spec = importlib.util.spec_from_file_location("services", repo / "services.py")
    assert spec is not None
    assert spec.loader is not None
    held = importlib.util.module_from_spec(spec)
    with imported_from(repo), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(held)
        yield held


def views(plan: Plan) -> dict[str, View]:
    return {view.name: view for view in plan.views}


def test_every_specified_feature_is_there(plan: Plan) -> None:
    for name, specified in SPECIFIED.items():
        assert set(specified.split()) <= {f.name for f in views(plan)[name].features}, name
    assert views(plan).keys() == SPECIFIED.keys()
    assert plan.warnings == ()


def test_windows_slide_in_at_least_twelve_steps(plan: Plan) -> None:
    for view in plan.views:
        for window in view.windows:
            tumbling = view.name == "device_type_telemetry"
            assert window.length == window.slide if tumbling else window.length >= 12 * window.slide
    assert views(plan)["device_type_telemetry"].base == 3_600_000
    assert views(plan)["user_transactions"].base == 5_000


def test_feature_types(plan: Plan) -> None:
    for view in plan.views:
        for feature in view.features:
            count = feature.function in ("count", "count_distinct") or "anomal" in feature.name
            if "timestamp" in feature.name:
                assert feature.dtype == "UNIX_TIMESTAMP"
            else:
                assert feature.dtype == (
                    "INT64" if count or feature.name.startswith("online") else "DOUBLE"
                ), feature


def test_sources_are_the_contracts(plan: Plan) -> None:
    assert {s.topic: (s.event_id, s.watermark_delay) for s in plan.sources} == {
        stream.topic: (stream.event_id, 120_000) for stream in STREAMS.values()
    }


def test_no_feature_reads_a_label(plan: Plan) -> None:
    topics = {source.name: source.topic for source in plan.sources}
    for view in plan.views:
        stream = next(s.name for s in STREAMS.values() if s.topic == topics[view.source])
        for label in field_names(stream, "labels"):
            assert f"`{label}`" not in " ".join(sql for _, sql in view.columns) + view.condition


def test_rings_stay_small(plan: Plan) -> None:
    assert max(map(worst_case_bytes, plan.views)) < 120_000


def test_a_second_plan_finds_nothing_to_change(repo: Path) -> None:
    out = feast(repo, "plan")
    assert "No changes to infrastructure" in out
    # Feast itself lists the time stamps of every stream view's sources as updates.
    assert not [line for line in out.splitlines() if line.startswith(("Created", "Deleted"))]


def test_services_name_features_that_do_not_clash(repo: Path) -> None:
    store = FeatureStore(repo_path=str(repo))
    services = {service.name: service for service in store.list_feature_services()}
    assert services.keys() == {
        "claims_risk",
        "claim_scoring",
        "transaction_risk",
        "transaction_scoring",
        "card_fraud",
        "device_health",
        "device_scoring",
        "cross_event",
    }
    for service in services.values():
        names = [f.name for projection in service.feature_view_projections for f in projection.features]
        keys = {"user_id", "card_id", "merchant_id", "provider_id", "device_id", "device_type"}
        served = [name for name in names if name not in keys]
        assert len(served) == len(set(served))
        assert not any(name.startswith("pair_") for name in served)


def sums(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    held = {"count": len(x), "sum_x": x.sum(), "sum_y": y.sum()}
    held |= {"sum_xx": (x * x).sum(), "sum_yy": (y * y).sum(), "sum_xy": (x * y).sum()}
    return {f"pair_{name}_5min": float(value) for name, value in held.items()}


READINGS = {
    "anomaly_count_5min": 3,
    "reading_count_5min": 12,
    "max_temperature_5min": 30.0,
    "min_temperature_5min": 20.0,
    "stddev_temperature_5min": 2.0,
}


def scores(module: ModuleType, *rows: dict[str, Any]) -> pd.DataFrame:
    return module.device_scores.feature_transformation.udf(
        pd.DataFrame([{**READINGS, **row} for row in rows])
    )


def test_correlation_is_pearsons(module: ModuleType) -> None:
    random = np.random.default_rng(7)
    x = random.normal(0, 0.2, (50, 30))
    y = -0.7 * x + random.normal(0, 0.1, (50, 30))
    found = scores(module, *[sums(*pair) for pair in zip(x, y, strict=True)])
    expected = [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(found["correlation_score_5min"], expected, rtol=1e-9)


def test_correlation_is_one_when_it_is_undefined(module: ModuleType) -> None:
    one, flat, line = np.array([0.3]), np.full(20, 0.1), np.arange(20) / 20
    nothing = dict.fromkeys(sums(one, one), 0.0)
    unknown = dict.fromkeys(nothing)
    found = scores(module, sums(one, one), sums(flat, line), nothing, unknown, sums(line, line))
    np.testing.assert_allclose(found["correlation_score_5min"], 1.0, atol=1e-12)
    assert (found["correlation_score_5min"] <= 1).all()


def test_deviation_and_anomaly_scores(module: ModuleType) -> None:
    empty = {"anomaly_count_5min": 0, "reading_count_5min": 0, "stddev_temperature_5min": None}
    nothing = sums(np.empty(0), np.empty(0))
    found = scores(module, nothing, nothing | empty)
    assert found["sensor_readings_deviation_5min"][0] == pytest.approx(10 / 2.001)
    assert math.isnan(found["sensor_readings_deviation_5min"][1])
    assert list(found["iot_anomaly_score_5min"]) == [0.25, 0.0]


def test_every_device_type_has_a_pair(plan: Plan, spark: Any) -> None:
    from pyspark.sql import functions as F
    from pyspark.sql.types import StructType

    from generators.machines import SENSORS

    view = views(plan)["device_telemetry"]
    number, source = next((i, s) for i, s in enumerate(plan.sources) if s.name == view.source)
    schema = StructType.fromJson(json.loads(source.schema))
    names = schema.fieldNames()
    rows = []
    for kind, ((a, low, high), (b, *_), *_) in SENSORS.items():
        for readings in ({a: float(high), b: 0.0}, {a: float(low)}, {}):
            values = {"device_type": kind, "is_anomaly": True, "sensor_readings": readings}
            rows.append((tuple(values.get(name) for name in names),))
    frame = spark.createDataFrame(rows, StructType().add(f"source_{number}", schema), verifySchema=False)
    columns = dict(view.columns)
    found = frame.select(
        F.expr(columns["pair_x"]), F.expr(columns["pair_xy"]), F.expr(columns["anomaly"])
    ).collect()
    for i, row in enumerate(found):
        complete = i % 3 == 0
        assert row[0] == (pytest.approx(0.5) if complete else None)
        assert (row[1] is not None) == complete
        assert row[2] == 1


def test_claims_and_payments_together(module: ModuleType) -> None:
    def row(claims: int | None, payments: int | None, risk: float | None) -> dict[str, Any]:
        return {
            "claim_count_1hr": claims,
            "transaction_count_1hr": payments,
            "sum_claim_risk_1hr": risk,
            "sum_transaction_risk_1hr": 0.0 if payments is not None else None,
            "max_claim_risk_1hr": risk,
            "max_transaction_risk_1hr": None,
        }

    frame = pd.DataFrame(
        [row(1, 11, 0.9), row(1, 0, 0.9), row(1, 10, 0.9), row(0, 0, None), row(None, None, None)]
    )
    found = module.cross_event_activity.feature_transformation.udf(frame)
    assert list(found["cross_event_risk_score"]) == [0.9, 0.8, 0.1, 0.1, 0.1]
    assert list(found["total_events_1hr"]) == [12, 1, 11, 0, 0]
    assert found["avg_risk_1hr"][1] == 0.9
    assert found["max_risk_1hr"][0] == 0.9
