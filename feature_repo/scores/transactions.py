"""Scores of a payment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_repo.scores import categories
from feature_repo.scores.composite import Composite
from feature_repo.scores.inputs import (
    Bools,
    Floats,
    Inputs,
    above,
    counts,
    flags,
    hours,
    moments,
    numbers,
    select,
)
from feature_repo.scores.sample import Sample

COMPOSITE = Composite(
    "composite_fraud_score",
    {
        "risk_score": 0.3,
        "velocity_risk_score": 0.25,
        "amount_spike_risk": 0.2,
        "time_pattern_risk": 0.1,
        "merchant_risk_score": 0.1,
        "location_change_risk": 0.05,
    },
)
USER_FEATURES = (
    "transaction_count_1hr",
    "transaction_count_24hr",
    "avg_transaction_amount_24hr",
    "stddev_transaction_amount_24hr",
    "transaction_count_7d",
    "avg_transaction_amount_7d",
    "stddev_transaction_amount_7d",
    "max_transaction_amount_7d",
    "distinct_locations_24hr",
)
MERCHANT_FEATURES = ("merchant_transaction_count_24hr",)
OUTPUTS: Mapping[str, type] = {
    "amount_zscore": float,
    "velocity_risk_score": float,
    "amount_spike_risk": float,
    "time_pattern_risk": float,
    "merchant_risk_score": float,
    "location_change_risk": float,
    "composite_fraud_score": float,
    "fraud_probability": float,
    "should_block_transaction": bool,
    "requires_additional_auth": bool,
    **dict.fromkeys(COMPOSITE.shares, float),
}


def score(features: Inputs, request: Inputs) -> dict[str, Any]:
    """OUTPUTS of each payment, from USER_FEATURES and MERCHANT_FEATURES.

    `request` holds amount, risk_score, event_time, event_included (whether the user's features count this
    payment already) and previous_max_transaction_amount_7d (that feature just before this payment; null
    if the features do not include it, or if it is not known).
    """
    amount, included = numbers(request["amount"]), flags(request["event_included"])
    count = counts(features["transaction_count_1hr"]) + np.where(included, 0.0, 1.0)
    day = _others(features, "24hr", amount, included)
    clock = hours(moments(request["event_time"]))
    merchant = numbers(features["merchant_transaction_count_24hr"])
    components = {
        "risk_score": numbers(request["risk_score"]),
        "velocity_risk_score": above(count, 0.0, (10, 1.0), (5, 0.7), (2, 0.4)),
        "amount_spike_risk": _spike(features, request, amount, included),
        "time_pattern_risk": select(0.0, ((clock >= 2) & (clock <= 5), 0.8), (clock >= 22, 0.4)),
        "merchant_risk_score": select(0.1, (merchant < 5, 0.6), (merchant > 1000, 0.3)),
        "location_change_risk": above(numbers(features["distinct_locations_24hr"]), 0.0, (5, 0.9), (3, 0.6)),
    }
    composite = COMPOSITE.of(components)
    total = composite[COMPOSITE.name]
    return {
        "amount_zscore": (amount - day.mean) / (day.std + 0.001),
        **components,
        **composite,
        "fraud_probability": categories.fraud_probability(total),
        "should_block_transaction": categories.should_block_transaction(total),
        "requires_additional_auth": categories.requires_additional_auth(total),
    }


def _others(features: Inputs, window: str, amount: Floats, included: Bools) -> Sample:
    return Sample.of(
        counts(features[f"transaction_count_{window}"]),
        numbers(features[f"avg_transaction_amount_{window}"]),
        numbers(features[f"stddev_transaction_amount_{window}"]),
    ).without(amount, included)


def _spike(features: Inputs, request: Inputs, amount: Floats, included: Bools) -> Floats:
    """Against the largest and the mean of the other payments.

    A maximum that includes this payment says what the largest other one is only if that is no smaller.
    Where it is, and the caller does not know it, the others' greatest possible maximum takes its place:
    a spike may then pass for the lesser kind, never the other way round.
    """
    week = _others(features, "7d", amount, included)
    largest = numbers(features["max_transaction_amount_7d"])
    previous = numbers(request["previous_max_transaction_amount_7d"])
    unknown = np.where(largest > amount, largest, week.largest)
    other = np.where(included, np.where(np.isfinite(previous), previous, unknown), largest)
    return select(0.0, (amount > 2 * other, 1.0), (amount > 5 * week.mean, 0.8))
