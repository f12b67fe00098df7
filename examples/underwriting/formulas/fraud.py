"""fraud_detection_score: the risk of a payment before it is made, 0 to 100."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.underwriting.formulas.columns import Columns, lists, reasons, tier

VELOCITY = ("txn_count_1h_stream",)
MERCHANT = ("merchant_risk", "high_risk_merchant")
DEVICE = ("device_fingerprint_match",)
ACTIONS = {
    "approve": "PROCEED",
    "review": "3DS_CHALLENGE",
    "challenge": "STEP_UP_AUTH",
    "decline": "BLOCK_TRANSACTION",
}
OUTPUTS: Mapping[str, type] = {
    "velocity_risk_score": float,
    "amount_risk_score": float,
    "device_risk_score": float,
    "merchant_risk_score": float,
    "combined_fraud_score": float,
    "fraud_decision": str,
    "risk_factors": str,
    "recommended_action": str,
}


def score(inputs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """OUTPUTS from VELOCITY of the customer, MERCHANT (shares, 0 to 1), DEVICE, and the request's transaction_amount,
    device_trust_score (0 to 1), is_international. Raises InputError.

    A device nothing is known of is judged by its trust alone.
    """
    given = Columns(inputs)
    velocity = np.clip(given.number("txn_count_1h_stream") / 2 * 25, 0, 100)
    amount = np.clip(given.number("transaction_amount") / 1_000 * 30, 0, 100)
    matches = given.flag("device_fingerprint_match", default=True)
    device = np.clip((1 - given.number("device_trust_score", 0.5)) * 50 + 50 * ~matches, 0, 100)
    merchant = np.clip(
        50 * given.flag("high_risk_merchant") + 50 * given.number("merchant_risk", 0.5), 0, 100
    )
    combined = np.round(0.25 * velocity + 0.30 * amount + 0.25 * device + 0.20 * merchant, 2)
    decision = tier(combined, (30, "approve"), (60, "review"), (80, "challenge"), (100, "decline"))
    return lists(
        {
            "velocity_risk_score": velocity,
            "amount_risk_score": amount,
            "device_risk_score": device,
            "merchant_risk_score": merchant,
            "combined_fraud_score": combined,
            "fraud_decision": decision,
            "risk_factors": reasons(
                given.rows,
                (velocity > 50, "HIGH_VELOCITY"),
                (amount > 50, "UNUSUAL_AMOUNT"),
                (device > 50, "DEVICE_RISK"),
                (merchant > 50, "MERCHANT_RISK"),
                (given.flag("is_international"), "INTERNATIONAL"),
                none="NONE",
            ),
            "recommended_action": np.array([ACTIONS[name] for name in decision], object),
        }
    )
