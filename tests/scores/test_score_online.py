"""Scores of every service read through Feast from rings, and the same scores from history."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from score_rows import DOMAINS, NOON
from score_world import World
from test_score_patterns import WAVE, reading

from feature_repo.scores.reading import Reading

AT = int(NOON.timestamp() * 1000)
MINUTE = 60_000


def event(ago: int, **columns: Any) -> tuple[int, dict[str, Any]]:
    """An event some minutes before noon."""
    return AT - ago * MINUTE, {"timestamp": (AT - ago * MINUTE) * 1000, **columns}


def claim(ago: int, amount: float) -> tuple[int, dict[str, Any]]:
    return event(ago, claim_amount=amount, claim_type="auto", location="Miami, FL", risk_score=0.5)


def payment(ago: int, amount: float, country: str = "US") -> tuple[int, dict[str, Any]]:
    columns = {"location": country, "merchant_id": "M1", "category": "gas", "online": 1, "risk_score": 0.5}
    return event(ago, amount=amount, user_id="U1", **columns)


@pytest.fixture(scope="module")
def filled(world: World) -> World:
    world.now = AT
    world.write("user_claims", "U1", [claim(180, 900.0), claim(120, 1_100.0), claim(0, 9_000.0)])
    world.write("provider_claims", "P1", [claim(0, 9_000.0)])
    paid = [payment(m, 40.0, country) for m, country in zip(range(1, 12), "ABCDEFABCDE", strict=True)]
    world.write("user_transactions", "U1", [*paid, payment(0, 500.0)])
    world.write("merchant_transactions", "M1", [payment(0, 500.0)])
    world.write("device_telemetry", "D1", [telemetry(74 - i, v, v) for i, v in enumerate(WAVE)])
    world.write("device_type_telemetry", "pressure_sensor", [event(0, risk_score=0.5, is_anomaly=1)])
    return world


def telemetry(place: int, x: float, y: float) -> tuple[int, dict[str, Any]]:
    """A reading every 3 seconds; every tenth reports an anomaly."""
    columns = {"anomaly": int(place % 10 == 0), "packet_loss": 0.03, "latency_ms": 20.0, "risk_score": 0.2}
    columns |= {"pair_x": x, "pair_y": y, "pair_xx": x * x, "pair_yy": y * y, "pair_xy": x * y}
    columns |= {"temperature": 40.0 + x, "battery_level": 80.0}
    return AT - 3_000 * (place + 1), columns


CLAIM = {"claim_amount": 9_000.0, "risk_score": 0.5, "event_time": NOON, "event_included": True}
PAYMENT = {"amount": 500.0, "risk_score": 0.9, "event_time": NOON, "event_included": True}
READING = {
    "risk_score": 0.5,
    "event_time": NOON,
    "criticality": "critical",
    "operating_hours": 25_000,
    "last_maintenance": NOON - timedelta(days=73),
    "sensor_readings": reading("pressure_sensor", 1.2, 0.0),
    "event_included": False,
}


def rows(entities: dict[str, list[str]], request: dict[str, Any]) -> dict[str, list[Any]]:
    count = len(next(iter(entities.values())))
    return {**entities, **{name: [value] * count for name, value in request.items()}}


def test_a_claim(filled: World) -> None:
    request = {**CLAIM, "previous_last_claim_timestamp": NOON - timedelta(hours=2)}
    found = filled.read("claim_scoring", rows({"user_id": ["U1"], "provider_id": ["P1"]}, request))
    assert found["claim_count_24hr"] == [3]
    assert found["time_since_last_claim_hours"] == [2.0]
    assert found["amount_deviation_risk"] == [1.0]
    assert found["claim_velocity_risk"] == [0.8]
    assert found["composite_risk_score"] == [pytest.approx(0.2 + 0.12 + 0.16 + 0.2)]
    assert found["risk_category"] == ["medium"]
    assert found["requires_manual_review"] == [True]
    assert found["risk_score_share"] == [pytest.approx(0.2 / 0.68)]


def test_a_payment(filled: World) -> None:
    request = {**PAYMENT, "previous_max_transaction_amount_7d": None}
    found = filled.read("transaction_scoring", rows({"user_id": ["U1"], "merchant_id": ["M1"]}, request))
    assert found["transaction_count_1hr"] == [12]
    assert found["velocity_risk_score"] == [1.0]
    assert found["amount_spike_risk"] == [1.0]
    assert found["location_change_risk"] == [0.9]
    assert found["merchant_risk_score"] == [0.6]
    assert found["composite_fraud_score"] == [pytest.approx(0.27 + 0.25 + 0.2 + 0.06 + 0.045)]
    assert found["requires_additional_auth"] == [True]


def test_a_reading(filled: World) -> None:
    found = filled.read(
        "device_scoring", rows({"device_id": ["D1"], "device_type": ["pressure_sensor"]}, READING)
    )
    assert found["anomaly_pattern"] == ["spike"]
    assert found["sensor_deviation_score"] == [1.0]
    assert found["anomaly_frequency_risk"] == [1.0]
    assert found["connectivity_risk"] == [0.4]
    assert found["composite_anomaly_score"] == [pytest.approx(0.2 + 0.25 + 0.15 + 0.04)]
    assert found["alert_level"] == ["high"]
    assert found["requires_immediate_attention"] == [True]
    assert found["device_health_score"] == [pytest.approx(0.75)]
    assert found["correlation_score_5min"] == [pytest.approx(1.0)]
    assert not [name for name in found if name.startswith("pair_")]


def test_together(filled: World) -> None:
    found = filled.read("cross_event", {"user_id": ["U1"]})
    assert found["cross_event_risk_score"] == [0.9]
    assert found["total_events_1hr"] == [13]


def test_services_without_scores_of_an_event_need_no_event(filled: World) -> None:
    found = filled.read("device_health", {"device_id": ["D1"], "device_type": ["pressure_sensor"]}, full=True)
    assert found["device_scores__iot_anomaly_score_5min"] == [pytest.approx(8 / 75)]


@pytest.mark.parametrize(
    ("service", "keys", "request_data", "composite", "expected"),
    [
        (
            "claim_scoring",
            ("user_id", "provider_id"),
            {**CLAIM, "event_included": False},
            "composite_risk_score",
            0.22,
        ),
        (
            "transaction_scoring",
            ("user_id", "merchant_id"),
            {**PAYMENT, "event_included": False},
            "composite_fraud_score",
            0.28,
        ),
        ("device_scoring", ("device_id", "device_type"), READING, "composite_anomaly_score", 0.2),
        ("cross_event", ("user_id",), {}, "cross_event_risk_score", 0.1),
    ],
)
def test_entities_never_seen_are_scored_by_the_event_alone(
    filled: World,
    service: str,
    keys: tuple[str, ...],
    request_data: dict[str, Any],
    composite: str,
    expected: float,
) -> None:
    request = {
        **request_data,
        "previous_last_claim_timestamp": None,
        "previous_max_transaction_amount_7d": None,
    }
    asked = rows({key: ["nobody", "nothing"] for key in keys}, request)
    found = filled.read(service, asked)
    assert found[composite] == [pytest.approx(expected)] * 2
    full = filled.read(service, asked, full=True)
    assert [values for name, values in full.items() if name.endswith(f"__{composite}")] == [found[composite]]
    assert not [v for values in found.values() for v in values if isinstance(v, float) and math.isnan(v)], (
        "null"
    )


def test_the_udf_is_the_function(filled: World) -> None:
    """What Feast runs is what everybody else calls, on arrays as on frames."""
    for name, domain in (
        ("claim_scores", "claims"),
        ("transaction_scores", "transactions"),
        ("reading_scores", "iot"),
    ):
        module, neutral = DOMAINS[domain]
        arrays = {column: np.array([value], object) for column, value in neutral.items()}
        view = filled.store.get_on_demand_feature_view(name)
        found = view.feature_transformation.udf(pd.DataFrame({k: [v] for k, v in neutral.items()}))
        for output, values in module.score(arrays, arrays).items():
            assert str(found[output][0]) == str(values[0]), output
        assert {f.name for f in view.features} == set(module.OUTPUTS)


def test_history_gives_the_same_scores(filled: World) -> None:
    """get_historical_features over the features as they were served."""
    request = {**PAYMENT, "previous_max_transaction_amount_7d": 40.0}
    online = filled.read("transaction_scoring", rows({"user_id": ["U1"], "merchant_id": ["M1"]}, request))
    service = filled.store.get_feature_service("transaction_scoring")
    names = {p.name: [f.name for f in p.features] for p in service.feature_view_projections}
    served = {n: online[n] for v in ("user_transactions", "merchant_transactions") for n in names[v]}
    times = {"event_timestamp": [NOON], "created_timestamp": [NOON]}
    past = pd.DataFrame({**served, "user_id": ["U1"], "merchant_id": ["M1"], **times})
    for view in ("user_transactions", "merchant_transactions"):
        stored = Path(filled.store.get_stream_feature_view(view).batch_source.path)
        stored.mkdir(parents=True, exist_ok=True)
        past.to_parquet(stored / "part.parquet")
    entities = pd.DataFrame(
        {"user_id": ["U1"], "merchant_id": ["M1"], "event_timestamp": [NOON]}
        | {k: [v] for k, v in request.items()}
    )
    found = filled.store.get_historical_features(entities, service).to_df()
    for name in names["transaction_scores"]:
        assert found[name][0] == pytest.approx(online[name][0]), name


def test_both_sensors_of_a_pair_count_alike() -> None:
    """Whatever the device type: from the middle of the range, in ranges, and to the same side."""
    both = [reading("pressure_sensor", 0.3, -0.2), reading("temperature_sensor", 0.3, -0.2)]
    held = Reading.of({"sensor_readings": both, "event_included": [True, True]})
    np.testing.assert_allclose(held.x, 0.3)
    np.testing.assert_allclose(held.y, -0.2)
    assert list(held.sign) == [1.0, -1.0]
