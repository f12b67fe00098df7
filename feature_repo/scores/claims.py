"""Scores of a claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_repo.scores import categories
from feature_repo.scores.composite import Composite
from feature_repo.scores.inputs import (
    Inputs,
    above,
    counts,
    flags,
    hours,
    moments,
    numbers,
    select,
    weekend,
)
from feature_repo.scores.sample import Sample

COMPOSITE = Composite(
    "composite_risk_score",
    {
        "risk_score": 0.4,
        "claim_frequency_score": 0.2,
        "claim_velocity_risk": 0.2,
        "amount_deviation_risk": 0.2,
    },
)
FEATURES = (
    "claim_count_1hr",
    "claim_count_6hr",
    "claim_count_24hr",
    "avg_claim_amount_24hr",
    "stddev_claim_amount_24hr",
    "last_claim_timestamp",
)
OUTPUTS: Mapping[str, type] = {
    "claim_amount_zscore": float,
    "time_since_last_claim_hours": float,
    "is_weekend_claim": bool,
    "is_night_claim": bool,
    "claim_frequency_score": float,
    "claim_velocity_risk": float,
    "amount_deviation_risk": float,
    "composite_risk_score": float,
    "risk_category": str,
    "requires_manual_review": bool,
    **dict.fromkeys(COMPOSITE.shares, float),
}


def score(features: Inputs, request: Inputs) -> dict[str, Any]:
    """OUTPUTS of each claim, from FEATURES of its user.

    `request` holds claim_amount, risk_score, event_time, event_included (whether the features count this
    claim already) and previous_last_claim_timestamp (last_claim_timestamp just before this claim; null if
    the features do not include it, or if it is not known).
    """
    amount, at = numbers(request["claim_amount"]), moments(request["event_time"])
    included = flags(request["event_included"])
    more = np.where(included, 0.0, 1.0)
    hour, six, day = (counts(features[f"claim_count_{window}"]) + more for window in ("1hr", "6hr", "24hr"))
    others = Sample.of(
        counts(features["claim_count_24hr"]),
        numbers(features["avg_claim_amount_24hr"]),
        numbers(features["stddev_claim_amount_24hr"]),
    ).without(amount, included)
    zscore = (amount - others.mean) / (others.std + 0.001)
    known = np.where(included, np.nan, moments(features["last_claim_timestamp"]))
    previous = moments(request["previous_last_claim_timestamp"])
    since = (at - np.where(np.isfinite(previous), previous, known)) / 3600
    clock = hours(at)
    components = {
        "risk_score": numbers(request["risk_score"]),
        "claim_frequency_score": above(day, 0.1, (3, 1.0), (1, 0.6)),
        "claim_velocity_risk": select(0.0, (hour >= 2, 1.0), (six >= 3, 0.8)),
        "amount_deviation_risk": above(np.abs(zscore), 0.0, (3, 1.0), (2, 0.7)),
    }
    composite = COMPOSITE.of(components)
    total = composite[COMPOSITE.name]
    return {
        "claim_amount_zscore": zscore,
        "time_since_last_claim_hours": np.where(since >= 0, since, np.nan),
        "is_weekend_claim": weekend(at),
        "is_night_claim": (clock >= 22) | (clock <= 6),
        **components,
        **composite,
        "risk_category": categories.risk_category(total),
        "requires_manual_review": categories.requires_manual_review(total, amount, day),
    }
