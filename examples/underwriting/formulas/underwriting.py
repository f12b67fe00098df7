"""underwriting_risk_score: how safe an applicant is (0 to 100, higher is safer), at what price, and what to do.

An applicant whom no table knows is scored by the defaults, and looked at by a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.underwriting.formulas.columns import Columns, lists, reasons, tier
from feature_repo.scores.inputs import above, select

PROFILE = ("customer_tenure_months",)
CREDIT = ("credit_score", "insurance_score", "bankruptcy_flag")
RISK = ("overall_risk_score", "late_payments_1y", "num_claims_3y", "dui_flag")
REFERENCE_COVERAGE = {"auto": 100_000.0, "home": 300_000.0, "health": 250_000.0, "life": 500_000.0}
"""Coverage that costs the plain price, by line. A price must not depend on who else asks at the same time."""

OUTPUTS: Mapping[str, type] = {
    "composite_risk_score": float,
    "risk_tier": str,
    "base_premium_factor": float,
    "credit_adjustment_factor": float,
    "experience_adjustment_factor": float,
    "coverage_adjustment_factor": float,
    "final_premium_factor": float,
    "underwriting_decision": str,
    "manual_review_flag": bool,
    "decline_reason": str,
}


def score(inputs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """OUTPUTS from PROFILE, CREDIT and RISK of the customer and from the request's requested_coverage, policy_type.

    A decline always has a reason, and nothing else has one. Raises InputError.
    """
    given = Columns(inputs)
    credit = (given.number("credit_score", 650) - 300) / 550
    claims = 1 - given.number("overall_risk_score", 50) / 100
    profile = np.clip(given.number("customer_tenure_months") / 120, 0, 1)
    behaviour = 1 - np.clip(given.number("late_payments_1y") / 12, 0, 1)
    composite = np.clip(100 * (0.30 * credit + 0.25 * claims + 0.20 * profile + 0.25 * behaviour), 0, 100)

    filed, coverage = given.number("num_claims_3y"), given.number("requested_coverage")
    lines = given.text("policy_type", "auto")
    reference = np.array([REFERENCE_COVERAGE.get(line, REFERENCE_COVERAGE["auto"]) for line in lines])
    base = 2 - composite / 100
    insured = above(given.number("insurance_score", 700), 1.3, (800, 0.9), (700, 1.0), (600, 1.1))
    experience = np.clip(1 + 0.1 * filed, 1, 1.5)
    covered = np.clip(1 + (coverage / reference - 1) * 0.1, 0.8, 1.5)

    dui, bankrupt = given.flag("dui_flag"), given.flag("bankruptcy_flag")
    unknown = np.isnan(given.known("credit_score"))
    decision = select(
        "auto_approve",
        (bankrupt | (composite < 30) | (dui & (composite < 50)), "decline"),
        (dui | unknown | (composite < 50), "manual_review"),
        (composite < 70, "auto_approve_with_conditions"),
    ).astype(object)
    declined = decision == "decline"
    return lists(
        {
            "composite_risk_score": np.round(composite, 2),
            "risk_tier": tier(
                composite, (40, "substandard"), (60, "standard"), (80, "preferred"), (100, "super_preferred")
            ),
            "base_premium_factor": base,
            "credit_adjustment_factor": insured,
            "experience_adjustment_factor": experience,
            "coverage_adjustment_factor": covered,
            "final_premium_factor": base * insured * experience * covered,
            "underwriting_decision": decision,
            "manual_review_flag": (decision == "manual_review") | dui | (filed > 3) | (coverage > 500_000),
            "decline_reason": reasons(
                given.rows,
                (declined & dui, "DUI_ON_RECORD"),
                (declined & bankrupt, "RECENT_BANKRUPTCY"),
                (declined & (filed > 5), "EXCESSIVE_CLAIMS"),
                (declined & (composite < 30), "HIGH_RISK_SCORE"),
            ),
        },
        decimals=4,
    )
