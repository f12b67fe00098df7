"""policy_premium_adjustments: a quote from who asks, where they live and what is to be insured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.underwriting.formulas.columns import Columns, lists
from feature_repo.scores.inputs import select

PROFILE = ("age", "region_risk_zone")
CREDIT = ("credit_score",)
BASE = 800.0
"""Dollars a year before any factor."""

OUTPUTS: Mapping[str, type] = dict.fromkeys(
    (
        "age_factor",
        "location_factor",
        "vehicle_age_factor",
        "coverage_factor",
        "deductible_credit",
        "estimated_base_premium",
        "estimated_monthly_premium",
        "estimated_annual_premium",
    ),
    float,
)


def score(inputs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """OUTPUTS (factors, and dollars) from PROFILE and CREDIT and the request's vehicle_age, requested_coverage
    and requested_deductible. Raises InputError."""
    given = Columns(inputs)
    age, zone = given.number("age", 35), given.number("region_risk_zone", 3)
    vehicle, credit = given.number("vehicle_age", 3), given.number("credit_score", 700)
    factors = {
        "age_factor": select(1.5, (age < 25, 1.4), (age < 30, 1.1), (age <= 65, 1.0), (age <= 75, 1.2)),
        "location_factor": select(
            1.0, (zone == 1, 0.85), (zone == 2, 0.95), (zone == 4, 1.15), (zone == 5, 1.35)
        ),
        "vehicle_age_factor": select(0.85, (vehicle <= 2, 1.15), (vehicle <= 5, 1.0), (vehicle <= 10, 0.9)),
        "coverage_factor": np.clip(
            0.8 + given.number("requested_coverage", 100_000) / 500_000 * 0.4, 0.8, 1.4
        ),
        "deductible_credit": np.clip(1 - given.number("requested_deductible", 500) / 5_000, 0.7, 1),
    }
    base = np.round(BASE * np.prod(list(factors.values()), axis=0), 2)
    annual = base * select(1.35, (credit >= 800, 0.85), (credit >= 700, 1.0), (credit >= 600, 1.15))
    return lists(
        {
            **{name: values + np.zeros(given.rows) for name, values in factors.items()},
            "estimated_base_premium": base,
            "estimated_monthly_premium": np.round(annual / 12, 2),
            "estimated_annual_premium": np.round(annual, 2),
        }
    )
