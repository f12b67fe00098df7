"""claims_fraud_indicators: how valid a claim looks, what to reserve, and who should see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.underwriting.formulas.columns import Columns, lists, tier

CUSTOMER = ("avg_claim_amount", "suspicious_claim_ratio", "fraud_claims_count", "avg_approval_ratio")
PROVIDER = ("fraud_risk_score", "quality_score", "years_in_network", "suspended_flag")
"""fraud_risk_score is a share, 0 to 1: on any other scale it would drown what else is known."""

OUTPUTS: Mapping[str, type] = {
    "claim_validity_score": float,
    "documentation_quality_score": float,
    "fraud_risk_indicator": float,
    "provider_trust_score": float,
    "recommended_reserve": float,
    "expected_payout_ratio": float,
    "fast_track_eligible": bool,
    "siu_referral_recommended": bool,
    "priority_level": str,
    "estimated_processing_days": int,
}


def score(inputs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """OUTPUTS from CUSTOMER and PROVIDER features and the request: claim_amount_requested (dollars),
    days_since_incident, documentation_score (0 to 100), has_witnesses, police_report_filed. Raises InputError."""
    given = Columns(inputs)
    papers, waited = given.number("documentation_score", 50), given.number("days_since_incident", 30)
    witness, police = given.flag("has_witnesses"), given.flag("police_report_filed")
    amount = given.number("claim_amount_requested")
    fresh = (30 - np.clip(waited, 0, 30)) / 30
    validity = np.clip(0.5 * papers + 10 * witness + 15 * police + 25 * fresh, 0, 100)
    documented = np.clip(papers + 2 * 15 * police + 10 * witness, 0, 100)
    ratio = amount / np.maximum(given.number("avg_claim_amount", 5_000), 1)
    past_fraud = given.number("fraud_claims_count") > 0
    fraud = np.clip(
        20 * np.clip(ratio - 1, 0, 2)
        + 30 * given.number("suspicious_claim_ratio")
        + 30 * past_fraud
        + 20 * given.number("fraud_risk_score", 0.1),
        0,
        100,
    )
    trust = 15 * given.number("quality_score", 3) + 25 * np.clip(given.number("years_in_network") / 10, 0, 1)
    approval = given.number("avg_approval_ratio", 0.8)
    fast = (validity >= 70) & (fraud <= 30) & (amount <= 10_000) & (documented >= 60)
    days = np.clip(14 + 10 * (fraud > 50) + 7 * (amount > 50_000) + 5 * ~fast, 3, 60)
    return lists(
        {
            "claim_validity_score": np.round(validity, 2),
            "documentation_quality_score": np.round(documented, 2),
            "fraud_risk_indicator": np.round(fraud, 2),
            "provider_trust_score": np.round(np.clip(trust, 0, 100), 2),
            "recommended_reserve": np.round(amount * approval * (1 + fraud / 200), 2),
            "expected_payout_ratio": np.round(np.clip(approval * (1 - fraud / 200), 0, 1), 4),
            "fast_track_eligible": fast,
            "siu_referral_recommended": (fraud >= 60)
            | past_fraud
            | (ratio > 3)
            | given.flag("suspended_flag"),
            "priority_level": tier(
                validity + 100 - fraud, (80, "low"), (120, "medium"), (160, "high"), (200, "urgent")
            ),
            "estimated_processing_days": days.astype(np.int64),
        }
    )
