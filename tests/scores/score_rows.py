"""Rows of features and request data for the scores: neutral ones, of which a test varies a few."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from feature_repo.scores import claims, cross_event, iot, transactions
from feature_repo.scores.pairs import SUMS

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
"""A Wednesday."""

CLAIM: Mapping[str, Any] = {
    "claim_count_1hr": 1,
    "claim_count_6hr": 1,
    "claim_count_24hr": 1,
    "avg_claim_amount_24hr": 1000.0,
    "stddev_claim_amount_24hr": None,
    "last_claim_timestamp": NOON,
    "claim_amount": 1000.0,
    "risk_score": 0.0,
    "event_time": NOON,
    "event_included": True,
    "previous_last_claim_timestamp": None,
}
PAYMENT: Mapping[str, Any] = {
    "transaction_count_1hr": 1,
    "transaction_count_24hr": 1,
    "avg_transaction_amount_24hr": 50.0,
    "stddev_transaction_amount_24hr": None,
    "transaction_count_7d": 1,
    "avg_transaction_amount_7d": 50.0,
    "stddev_transaction_amount_7d": None,
    "max_transaction_amount_7d": 50.0,
    "distinct_locations_24hr": 1,
    "merchant_transaction_count_24hr": 100,
    "amount": 50.0,
    "risk_score": 0.0,
    "event_time": NOON,
    "event_included": True,
    "previous_max_transaction_amount_7d": None,
}
READING: Mapping[str, Any] = {
    **{
        f"pair_{name}_{window}": 0 if name == "count" else 0.0 for name in SUMS for window in ("1min", "5min")
    },
    "reading_count_5min": 10,
    "anomaly_count_5min": 0,
    "max_temperature_5min": 40.0,
    "min_temperature_5min": 36.0,
    "stddev_temperature_5min": 2.0,
    "anomaly_count_1hr": 0,
    "avg_packet_loss_1hr": 0.0,
    "risk_score": 0.0,
    "event_time": NOON,
    "criticality": "high",
    "operating_hours": 0,
    "last_maintenance": NOON,
    "sensor_readings": {"pressure": 1000.0, "flow_rate": 30.0},
    "event_included": True,
}
TOGETHER: Mapping[str, Any] = {
    "claim_count_1hr": 0,
    "sum_claim_risk_1hr": 0.0,
    "max_claim_risk_1hr": None,
    "transaction_count_1hr": 0,
    "sum_transaction_risk_1hr": 0.0,
    "max_transaction_risk_1hr": None,
}
DOMAINS: Mapping[str, tuple[ModuleType, Mapping[str, Any]]] = {
    "claims": (claims, CLAIM),
    "transactions": (transactions, PAYMENT),
    "iot": (iot, READING),
    "cross_event": (cross_event, TOGETHER),
}


def columns(neutral: Mapping[str, Any], *rows: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Columns of `rows`, each a change of the neutral row."""
    unknown = {name for row in rows for name in row} - neutral.keys()
    assert not unknown, f"no such input: {unknown}"
    return {name: [{**neutral, **row}[name] for row in rows] for name in neutral}


def score(domain: str, *rows: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What the mended scores say of each row."""
    module, neutral = DOMAINS[domain]
    held = columns(neutral, *rows)
    return {name: list(values) for name, values in module.score(held, held).items()}


def sums(window: str, xs: list[float], ys: list[float]) -> dict[str, float]:
    """The pair features of a window that holds these readings."""
    pairs = list(zip(xs, ys, strict=True))
    held = {"count": len(pairs), "sum_x": sum(xs), "sum_y": sum(ys)}
    held |= {"sum_xx": sum(x * x for x in xs), "sum_yy": sum(y * y for y in ys)}
    held |= {"sum_xy": sum(x * y for x, y in pairs)}
    return {f"pair_{name}_{window}": float(value) for name, value in held.items()}
