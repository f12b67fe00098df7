"""A user's claims and payments of the last hour together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_repo.scores.inputs import Inputs, counts, numbers, select

CLAIM_FEATURES = ("claim_count_1hr", "sum_claim_risk_1hr", "max_claim_risk_1hr")
TRANSACTION_FEATURES = ("transaction_count_1hr", "sum_transaction_risk_1hr", "max_transaction_risk_1hr")
OUTPUTS: Mapping[str, type] = {
    "total_events_1hr": int,
    "claims_1hr": int,
    "transactions_1hr": int,
    "avg_risk_1hr": float,
    "max_risk_1hr": float,
    "cross_event_risk_score": float,
}


def score(features: Inputs, request: Inputs | None = None) -> dict[str, Any]:
    """OUTPUTS of each user, from CLAIM_FEATURES and TRANSACTION_FEATURES; nothing is requested."""
    claims, payments = counts(features["claim_count_1hr"]), counts(features["transaction_count_1hr"])
    total = claims + payments
    risk = counts(features["sum_claim_risk_1hr"]) + counts(features["sum_transaction_risk_1hr"])
    average = np.where(total > 0, risk / np.maximum(total, 1), np.nan)
    return {
        "total_events_1hr": total.astype(np.int64),
        "claims_1hr": claims.astype(np.int64),
        "transactions_1hr": payments.astype(np.int64),
        "avg_risk_1hr": average,
        "max_risk_1hr": np.fmax(
            numbers(features["max_claim_risk_1hr"]), numbers(features["max_transaction_risk_1hr"])
        ),
        "cross_event_risk_score": select(0.1, ((claims > 0) & (payments > 10), 0.9), (average > 0.7, 0.8)),
    }
