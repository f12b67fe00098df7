"""What is read together, by use. The services called ..._scoring ask for the event that is scored."""

from claims import provider_claims, user_claims
from feast import FeatureService
from scoring import claim_scores, cross_event_activity, device_scores, reading_scores, transaction_scores
from telemetry import device_telemetry, device_type_telemetry
from transactions import card_transactions, merchant_transactions, user_transactions

from feature_repo.scores.categories import ALERT_SCORE, CRITICAL_SCORE


def _telemetry():
    # Feast would take a copy under a name of its own for a second view.
    return device_telemetry[[f.name for f in device_telemetry.features if not f.name.startswith("pair_")]]


def _scores(source, score, decision, event_type):
    """What the scoring lane reads: the stream that a service scores, its score, and when to raise an alert."""
    return {
        "scores": source,
        "score": score,
        "alert_if": decision,
        "alert_above": str(ALERT_SCORE),
        "critical_above": str(CRITICAL_SCORE),
        "event_type": event_type,
    }


claims_risk = FeatureService(
    name="claims_risk",
    features=[user_claims, provider_claims],
    description="Features of a claim: its user and its provider",
)
claim_scoring = FeatureService(
    name="claim_scoring",
    features=[user_claims, provider_claims, claim_scores],
    tags=_scores("claims_stream", "composite_risk_score", "requires_manual_review", "insurance_claim"),
    description="Scoring a claim: claims_risk and the scores",
)
transaction_risk = FeatureService(
    name="transaction_risk",
    features=[user_transactions, merchant_transactions],
    description="Features of a payment: its user and its merchant",
)
transaction_scoring = FeatureService(
    name="transaction_scoring",
    features=[user_transactions, merchant_transactions, transaction_scores],
    description="Scoring a payment: transaction_risk and the scores",
    tags={
        **_scores(
            "transactions_stream",
            "composite_fraud_score",
            "should_block_transaction",
            "financial_transaction",
        ),
        "model": "transactions",
        "model.source": "transactions_stream",
        "model.label": "is_fraud",
        "model.rules": "composite_fraud_score",
    },
)
card_fraud = FeatureService(
    name="card_fraud",
    features=[card_transactions],
    description="Card fraud models: recent use of the card against its usual use",
)
device_health = FeatureService(
    name="device_health",
    features=[_telemetry(), device_scores, device_type_telemetry],
    description="A device: its readings, its scores and its type's",
)
device_scoring = FeatureService(
    name="device_scoring",
    features=[_telemetry(), device_scores, device_type_telemetry, reading_scores],
    tags=_scores("iot_stream", "composite_anomaly_score", "requires_immediate_attention", "iot_telemetry"),
    description="Scoring a reading: device_health and the scores",
)
cross_event = FeatureService(
    name="cross_event",
    features=[cross_event_activity],
    description="A user's claims and payments together",
)
