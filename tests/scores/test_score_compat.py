"""The originals, against a transcription of their SQL row by row, where null is None."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from score_rows import NOON, columns, score

from feature_repo.scores import compat

SIZE = 400


def sql(operation: Any, *values: Any) -> Any:
    return None if any(v is None for v in values) else operation(*values)


def case(otherwise: Any, *branches: tuple[Any, Any]) -> Any:
    return next((value for condition, value in branches if condition), otherwise)


def above(value: Any, bound: float) -> bool:
    return value is not None and value > bound


def below(value: Any, bound: float) -> bool:
    return value is not None and value < bound


def hour(row: dict[str, Any]) -> int:
    return row["event_time"].hour


def claim(r: dict[str, Any]) -> dict[str, Any]:
    z = sql(
        lambda a, m, s: (a - m) / (s + 0.001),
        r["claim_amount"],
        r["avg_claim_amount_24hr"],
        r["stddev_claim_amount_24hr"],
    )
    frequency = case(0.1, (above(r["claim_count_24hr"], 3), 1.0), (above(r["claim_count_24hr"], 1), 0.6))
    velocity = case(0.0, (above(r["claim_count_1hr"], 1), 1.0), (above(r["claim_count_6hr"], 2), 0.8))
    deviation = case(0.0, (above(sql(abs, z), 3), 1.0), (above(sql(abs, z), 2), 0.7))
    total = sql(lambda k: 0.4 * k + 0.2 * frequency + 0.2 * velocity + 0.2 * deviation, r["risk_score"])
    return {
        "claim_amount_zscore": z,
        "is_weekend_claim": r["event_time"].isoweekday() in (6, 7),
        "is_night_claim": 22 <= hour(r) <= 6,
        "claim_frequency_score": frequency,
        "claim_velocity_risk": velocity,
        "amount_deviation_risk": deviation,
        "composite_risk_score": total,
        "risk_category": case(
            "low", (above(total, 1 - 1e-12), "high"), (above(total, 0.7 - 1e-12), "medium")
        ),
        "requires_manual_review": above(total, 0.8)
        or above(r["claim_amount"], 50_000)
        or above(r["claim_count_24hr"], 2),
    }


def payment(r: dict[str, Any]) -> dict[str, Any]:
    count, merchants = r["transaction_count_1hr"], r["merchant_transaction_count_24hr"]
    velocity = case(0.0, (above(count, 10), 1.0), (above(count, 5), 0.7), (above(count, 2), 0.4))
    spike = case(
        0.0,
        (above(r["amount"], sql(lambda m: 2 * m, r["max_transaction_amount_7d"]) or math.inf), 1.0),
        (above(r["amount"], sql(lambda m: 5 * m, r["avg_transaction_amount_7d"]) or math.inf), 0.8),
    )
    time = case(0.0, (2 <= hour(r) <= 5, 0.8), (22 <= hour(r) <= 24, 0.4))
    merchant = case(0.1, (below(merchants, 5), 0.6), (above(merchants, 1000), 0.3))
    location = case(
        0.0, (above(r["distinct_locations_24hr"], 5), 0.9), (above(r["distinct_locations_24hr"], 3), 0.6)
    )
    total = sql(
        lambda k: 0.3 * k + 0.25 * velocity + 0.2 * spike + 0.1 * time + 0.1 * merchant + 0.05 * location,
        r["risk_score"],
    )
    return {
        "velocity_risk_score": velocity,
        "amount_spike_risk": spike,
        "time_pattern_risk": time,
        "merchant_risk_score": merchant,
        "location_change_risk": location,
        "composite_fraud_score": total,
        "fraud_probability": case(
            0.1, (above(total, 0.8), 0.95), (above(total, 0.6), 0.75), (above(total, 0.4), 0.45)
        ),
        "should_block_transaction": above(total, 0.85),
        "requires_additional_auth": above(total, 0.6) and not above(total, 0.85),
    }


def reading(r: dict[str, Any]) -> dict[str, Any]:
    width = sql(
        lambda a, b, s: abs(a - b) / (s + 0.001),
        r["max_temperature_5min"],
        r["min_temperature_5min"],
        r["stddev_temperature_5min"],
    )
    deviation = case(0.0, (above(width, 3), 1.0), (above(width, 2), 0.7))
    frequency = case(0.0, (above(r["anomaly_count_1hr"], 5), 1.0), (above(r["anomaly_count_1hr"], 2), 0.6))
    connection = case(
        0.0, (above(r["avg_packet_loss_1hr"], 0.05), 0.8), (above(r["avg_packet_loss_1hr"], 0.02), 0.4)
    )
    broken = case(
        0.0, (below(r["correlation_score_5min"], 0.3), 1.0), (below(r["correlation_score_5min"], 0.6), 0.5)
    )
    total = sql(
        lambda k: 0.4 * k + 0.25 * deviation + 0.15 * frequency + 0.1 * connection + 0.1 * broken,
        r["risk_score"],
    )
    return {
        "sensor_readings_deviation_5min": width,
        "sensor_deviation_score": deviation,
        "anomaly_frequency_risk": frequency,
        "connectivity_risk": connection,
        "sensor_correlation_break": broken,
        "composite_anomaly_score": total,
        "alert_level": case(
            "low", (above(total, 0.8), "critical"), (above(total, 0.6), "high"), (above(total, 0.3), "medium")
        ),
        "requires_immediate_attention": above(total, 0.8)
        or (r["criticality"] == "critical" and above(total, 0.5)),
        "predicted_failure_hours": case(
            8760.0, (above(total, 0.9), 2.0), (above(total, 0.7), 24.0), (above(total, 0.5), 168.0)
        ),
        "device_health_score": sql(
            lambda m, o: 1 - (r["event_time"].date() - m.date()).days / 365 * 0.5 - o / 50_000 * 0.3,
            r["last_maintenance"],
            r["operating_hours"],
        ),
    }


def random_rows(neutral: dict[str, tuple[float, float, bool]], seed: int) -> list[dict[str, Any]]:
    """Uniform values between two bounds, whole ones if so said, a tenth of them null; a random time."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(SIZE):
        row: dict[str, Any] = {}
        for name, (low, high, whole) in neutral.items():
            value = rng.integers(int(low), int(high)) if whole else rng.uniform(low, high)
            row[name] = None if rng.random() < 0.1 else value.item() if whole else float(value)
        row["event_time"] = datetime.fromtimestamp(NOON.timestamp() + rng.integers(0, 30 * 86_400), UTC)
        rows.append(row)
    return rows


def check(module_function: Any, oracle: Any, rows: list[dict[str, Any]], extra: dict[str, Any]) -> None:
    rows = [{**extra, **row} for row in rows]
    held = columns(rows[0], *rows)
    found = module_function(held, held)
    expected = [oracle(row) for row in rows]
    for name in expected[0]:
        for place, row in enumerate(expected):
            value, mine = row[name], found[name][place]
            if value is None:
                assert math.isnan(mine), name
            else:
                assert mine == (pytest.approx(value) if isinstance(value, float) else value), (
                    name,
                    rows[place],
                )


def test_claims_as_the_original() -> None:
    ranges = {f"claim_count_{w}": (0, 6, True) for w in ("1hr", "6hr", "24hr")}
    ranges |= {"avg_claim_amount_24hr": (0, 1e4, False), "stddev_claim_amount_24hr": (0, 3e3, False)}
    ranges |= {"claim_amount": (0, 6e4, False), "risk_score": (0, 1, False)}
    check(compat.claims, claim, random_rows(ranges, 1), {"last_claim_timestamp": NOON})


def test_transactions_as_the_original() -> None:
    ranges = {"transaction_count_1hr": (0, 14, True), "merchant_transaction_count_24hr": (0, 2000, True)}
    ranges |= {"max_transaction_amount_7d": (1, 500, False), "avg_transaction_amount_7d": (1, 300, False)}
    ranges |= {
        "distinct_locations_24hr": (0, 9, True),
        "amount": (0, 1000, False),
        "risk_score": (0, 1, False),
    }
    ranges |= {
        "avg_transaction_amount_24hr": (1, 300, False),
        "stddev_transaction_amount_24hr": (0, 90, False),
    }
    check(compat.transactions, payment, random_rows(ranges, 2), {})


def test_iot_as_the_original() -> None:
    ranges = {"max_temperature_5min": (36, 50, False), "min_temperature_5min": (20, 36, False)}
    ranges |= {"stddev_temperature_5min": (0, 9, False), "anomaly_count_1hr": (0, 9, True)}
    ranges |= {"anomaly_count_5min": (0, 3, True), "reading_count_5min": (3, 9, True)}
    ranges |= {"avg_packet_loss_1hr": (0, 0.1, False), "correlation_score_5min": (0, 1, False)}
    ranges |= {"risk_score": (0, 1, False), "operating_hours": (0, 50_000, True)}
    rows = random_rows(ranges, 3)
    extra = {"last_maintenance": NOON.replace(year=2025, hour=23), "criticality": "critical"}
    check(compat.iot, reading, rows, extra)
    check(compat.iot, reading, rows, {**extra, "criticality": "high", "last_maintenance": None})


def test_cross_event_as_the_original() -> None:
    held = {
        "claims_1hr": [1, 1, 0, 0, None],
        "transactions_1hr": [11, 10, 20, 0, 11],
        "avg_risk_1hr": [0.1, 0.71, 0.7, None, 0.8],
    }
    assert list(compat.cross_event(held)["cross_event_risk_score"]) == [0.9, 0.8, 0.1, 0.1, 0.8]


def test_the_faults_are_kept() -> None:
    """Those that docs/scores.md lists as mended."""
    night = {"event_time": [NOON.replace(hour=h) for h in range(24)]}
    rows = [
        {"event_time": t, "risk_score": 1.0, "claim_count_1hr": 3, "claim_count_24hr": 3}
        for t in night["event_time"]
    ]
    neutral = score_input("claims", rows)
    found = compat.claims(neutral, neutral)
    assert not found["is_night_claim"].any()
    assert set(found["risk_category"]) == {"medium"}
    assert set(found["time_since_last_claim_hours"][12:13]) == {0.0}
    spikes = score_input(
        "transactions",
        [{"max_transaction_amount_7d": 900.0, "amount": 900.0, "avg_transaction_amount_7d": 300.0}],
    )
    assert list(compat.transactions(spikes, spikes)["amount_spike_risk"]) == [0.0]
    assert score("claims", rows[0])["risk_category"] == ["high"]


def score_input(domain: str, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    from score_rows import DOMAINS

    return columns(DOMAINS[domain][1], *rows)
