"""The scores as system 003 defined them, faults included; docs/scores.md says what was mended.

Each function takes `features`, which include the event, and `request`, as the module of the mended
scores does, and returns the original's columns. As in SQL, a comparison with null is not true and
arithmetic with null is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from feature_repo.scores.inputs import Floats, Inputs, above, hours, moments, numbers, select, texts, weekend


def claims(features: Inputs, request: Inputs) -> dict[str, Any]:
    """Faults: the z-score includes the claim itself, no hour is night, high needs the greatest possible
    score, and the last claim is the claim itself."""
    amount, at, clock = numbers(request["claim_amount"]), moments(request["event_time"]), _clock(request)
    zscore = _zscore(amount, features, "claim_amount_24hr")
    day = numbers(features["claim_count_24hr"])
    frequency = above(day, 0.1, (3, 1.0), (1, 0.6))
    velocity = select(
        0.0,
        (numbers(features["claim_count_1hr"]) >= 2, 1.0),
        (numbers(features["claim_count_6hr"]) >= 3, 0.8),
    )
    deviation = above(np.abs(zscore), 0.0, (3, 1.0), (2, 0.7))
    total = 0.4 * numbers(request["risk_score"]) + 0.2 * frequency + 0.2 * velocity + 0.2 * deviation
    return {
        "claim_amount_zscore": zscore,
        "time_since_last_claim_hours": (at - moments(features["last_claim_timestamp"])) / 3600,
        "is_weekend_claim": weekend(at),
        "is_night_claim": (clock >= 22) & (clock <= 6),
        "claim_frequency_score": frequency,
        "claim_velocity_risk": velocity,
        "amount_deviation_risk": deviation,
        "composite_risk_score": total,
        "risk_category": select("low", (total >= 1.0, "high"), (total >= 0.7, "medium")).astype(object),
        "requires_manual_review": (total > 0.8) | (amount > 50_000) | (day > 2),
    }


def transactions(features: Inputs, request: Inputs) -> dict[str, Any]:
    """Fault: the largest payment of the week includes the payment itself, which never is twice as large."""
    amount, clock = numbers(request["amount"]), _clock(request)
    velocity = above(numbers(features["transaction_count_1hr"]), 0.0, (10, 1.0), (5, 0.7), (2, 0.4))
    spike = select(
        0.0,
        (amount > 2 * numbers(features["max_transaction_amount_7d"]), 1.0),
        (amount > 5 * numbers(features["avg_transaction_amount_7d"]), 0.8),
    )
    time = select(0.0, ((clock >= 2) & (clock <= 5), 0.8), ((clock >= 22) & (clock <= 24), 0.4))
    merchants = numbers(features["merchant_transaction_count_24hr"])
    merchant = select(0.1, (merchants < 5, 0.6), (merchants > 1000, 0.3))
    location = above(numbers(features["distinct_locations_24hr"]), 0.0, (5, 0.9), (3, 0.6))
    total = 0.3 * numbers(request["risk_score"]) + 0.25 * velocity + 0.2 * spike
    total = total + 0.1 * time + 0.1 * merchant + 0.05 * location
    return {
        "amount_zscore": _zscore(amount, features, "transaction_amount_24hr"),
        "velocity_risk_score": velocity,
        "amount_spike_risk": spike,
        "time_pattern_risk": time,
        "merchant_risk_score": merchant,
        "location_change_risk": location,
        "composite_fraud_score": total,
        "fraud_probability": above(total, 0.1, (0.8, 0.95), (0.6, 0.75), (0.4, 0.45)),
        "should_block_transaction": total > 0.85,
        "requires_additional_auth": (total > 0.6) & (total <= 0.85),
    }


def iot(features: Inputs, request: Inputs) -> dict[str, Any]:
    """Faults: the deviation is a range over a standard deviation, which grows with the number of
    readings, and of one temperature alone. `features` hold correlation_score_5min."""
    readings = numbers(features["reading_count_5min"])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = numbers(features["anomaly_count_5min"]) / readings
    width = np.abs(numbers(features["max_temperature_5min"]) - numbers(features["min_temperature_5min"]))
    width = width / (numbers(features["stddev_temperature_5min"]) + 0.001)
    deviation = above(width, 0.0, (3, 1.0), (2, 0.7))
    frequency = above(numbers(features["anomaly_count_1hr"]), 0.0, (5, 1.0), (2, 0.6))
    connectivity = above(numbers(features["avg_packet_loss_1hr"]), 0.0, (0.05, 0.8), (0.02, 0.4))
    correlation = numbers(features["correlation_score_5min"])
    broken = select(0.0, (correlation < 0.3, 1.0), (correlation < 0.6, 0.5))
    total = 0.4 * numbers(request["risk_score"]) + 0.25 * deviation + 0.15 * frequency
    total = total + 0.1 * connectivity + 0.1 * broken
    days = np.floor(moments(request["event_time"]) / 86_400)
    days = days - np.floor(moments(request["last_maintenance"]) / 86_400)
    critical = texts(request["criticality"]) == "critical"
    levels = ((total > 0.8, "critical"), (total > 0.6, "high"), (total > 0.3, "medium"))
    return {
        "sensor_readings_deviation_5min": width,
        "iot_anomaly_score_5min": np.where(readings > 0, share, 0.0),
        "sensor_deviation_score": deviation,
        "anomaly_frequency_risk": frequency,
        "device_health_score": 1 - days / 365 * 0.5 - numbers(request["operating_hours"]) / 50_000 * 0.3,
        "connectivity_risk": connectivity,
        "sensor_correlation_break": broken,
        "composite_anomaly_score": total,
        "alert_level": select("low", *levels).astype(object),
        "requires_immediate_attention": (total > 0.8) | (critical & (total > 0.5)),
        "predicted_failure_hours": above(total, 8760.0, (0.9, 2.0), (0.7, 24.0), (0.5, 168.0)),
    }


def cross_event(features: Inputs, request: Inputs | None = None) -> dict[str, Any]:
    """Never called by the original. `features` hold its own columns of an hour's claims and payments."""
    claimed = numbers(features["claims_1hr"]) > 0
    risky = numbers(features["avg_risk_1hr"]) > 0.7
    score = select(0.1, (claimed & (numbers(features["transactions_1hr"]) > 10), 0.9), (risky, 0.8))
    return {"cross_event_risk_score": score}


def _zscore(amount: Floats, features: Inputs, column: str) -> Floats:
    return (amount - numbers(features[f"avg_{column}"])) / (numbers(features[f"stddev_{column}"]) + 0.001)


def _clock(request: Inputs) -> Floats:
    return hours(moments(request["event_time"]))
