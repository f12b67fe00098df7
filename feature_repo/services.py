"""What is read together, by use."""

from claims import provider_claims, user_claims
from feast import FeatureService, Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64
from telemetry import device_scores, device_telemetry, device_type_telemetry
from transactions import card_transactions, merchant_transactions, user_transactions


@on_demand_feature_view(
    sources=[user_claims, user_transactions],
    schema=[
        Field(name="total_events_1hr", dtype=Int64),
        Field(name="claims_1hr", dtype=Int64),
        Field(name="transactions_1hr", dtype=Int64),
        Field(name="avg_risk_1hr", dtype=Float64),
        Field(name="max_risk_1hr", dtype=Float64),
        Field(name="cross_event_risk_score", dtype=Float64),
    ],
    mode="pandas",
    description="Claims and payments of a user together",
)
def cross_event_activity(user):
    import numpy as np
    import pandas as pd

    claims = user["claim_count_1hr"].fillna(0)
    payments = user["transaction_count_1hr"].fillna(0)
    total = claims + payments
    risk = user["sum_claim_risk_1hr"].fillna(0) + user["sum_transaction_risk_1hr"].fillna(0)
    average = risk / total.where(total > 0)
    score = np.where((claims > 0) & (payments > 10), 0.9, np.where(average > 0.7, 0.8, 0.1))
    return pd.DataFrame(
        {
            "total_events_1hr": total.astype("int64"),
            "claims_1hr": claims.astype("int64"),
            "transactions_1hr": payments.astype("int64"),
            "avg_risk_1hr": average,
            "max_risk_1hr": user[["max_claim_risk_1hr", "max_transaction_risk_1hr"]].max(axis=1),
            "cross_event_risk_score": score,
        }
    )


claims_risk = FeatureService(
    name="claims_risk",
    features=[user_claims, provider_claims],
    description="Scoring a claim: its user and its provider",
)
transaction_risk = FeatureService(
    name="transaction_risk",
    features=[user_transactions, merchant_transactions],
    description="Scoring a payment: its user and its merchant",
)
card_fraud = FeatureService(
    name="card_fraud",
    features=[card_transactions],
    description="Card fraud models: recent use of the card against its usual use",
)
device_health = FeatureService(
    name="device_health",
    features=[
        device_telemetry[[f.name for f in device_telemetry.features if not f.name.startswith("pair_")]],
        device_scores,
        device_type_telemetry,
    ],
    description="A device: its readings, its scores and its type's",
)
cross_event = FeatureService(
    name="cross_event",
    features=[cross_event_activity],
    description="A user's claims and payments together",
)
