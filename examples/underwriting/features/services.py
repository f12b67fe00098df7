"""What is read together. Ask for full feature names: some views have fields of the same name."""

from feast import FeatureService

from examples.underwriting.features.contracts import (
    claims_aggregation,
    claims_history,
    policy_details,
    provider_network,
)
from examples.underwriting.features.customers import (
    customer_credit,
    customer_profile,
    customer_risk,
    customer_risk_fresh,
    lab_results,
)
from examples.underwriting.features.payments import merchant_risk, transaction_details
from examples.underwriting.features.scoring import (
    claims_fraud_indicators,
    fraud_detection_score,
    policy_premium_adjustments,
    underwriting_risk_score,
    underwriting_risk_score_fresh,
)
from examples.underwriting.features.streams import customer_claims, velocity


def _some(view, names):
    return view[names.split()]


def _service(name, description, *features):
    return FeatureService(name=name, features=list(features), description=description)


_BRIEF = "age gender state region_risk_zone customer_tenure_months num_policies"

underwriting_v1 = _service(
    "underwriting_v1",
    "An application, within 50 ms",
    _some(customer_profile, _BRIEF),
    _some(customer_credit, "credit_score credit_score_tier insurance_score bankruptcy_flag"),
    _some(customer_risk, "overall_risk_score claims_risk_score num_claims_3y risk_segment"),
    underwriting_risk_score,
)
underwriting_v2 = _service(
    "underwriting_v2",
    "An application with everything known, fresh risk and a quote, within 100 ms",
    customer_profile,
    customer_credit,
    customer_risk_fresh,
    policy_details,
    underwriting_risk_score_fresh,
    policy_premium_adjustments,
)
underwriting_quick_quote = _service(
    "underwriting_quick_quote",
    "A quote, within 20 ms",
    _some(customer_profile, "age state region_risk_zone"),
    _some(customer_credit, "credit_score_tier insurance_score"),
    _some(customer_risk, "overall_risk_score risk_segment"),
    policy_premium_adjustments,
)
claims_assessment_v1 = _service(
    "claims_assessment_v1",
    "A claim, its customer's claims and its provider",
    claims_history,
    claims_aggregation,
    provider_network,
    claims_fraud_indicators,
)
claims_with_labs_v1 = _service(
    "claims_with_labs_v1",
    "claims_assessment_v1 and the customer's laboratory",
    claims_history,
    claims_aggregation,
    lab_results,
    provider_network,
    claims_fraud_indicators,
)
claims_fraud_detection_v1 = _service(
    "claims_fraud_detection_v1",
    "What tells of fraud in a claim",
    _some(
        claims_history,
        "claim_type claim_amount_requested claim_amount_approved injury_flag litigation_flag "
        "attorney_represented siu_referral fraud_score suspicious_indicators_count",
    ),
    _some(
        claims_aggregation,
        "total_claims_lifetime claims_count_1y claims_count_3y fraud_claims_count siu_referral_count "
        "suspicious_claim_ratio litigation_rate",
    ),
    _some(provider_network, "fraud_risk_score billing_anomaly_score siu_investigation_count suspended_flag"),
    claims_fraud_indicators,
)
fraud_detection_v1 = _service(
    "fraud_detection_v1",
    "A payment, within 50 ms",
    transaction_details,
    velocity,
    merchant_risk,
    fraud_detection_score,
)
customer_360_v1 = _service(
    "customer_360_v1",
    "Everything about a customer and one of their policies",
    customer_profile,
    customer_credit,
    customer_risk,
    claims_aggregation,
    policy_details,
)
risk_assessment_bundle_v1 = _service(
    "risk_assessment_bundle_v1",
    "Risk of a customer",
    customer_credit,
    customer_risk,
    _some(
        claims_aggregation,
        "claims_count_3y total_claims_amount_3y avg_claim_amount fraud_claims_count suspicious_claim_ratio",
    ),
    underwriting_risk_score,
)
customer_activity_v1 = _service(
    "customer_activity_v1",
    "A customer's payments and claims as Tidemark computes them",
    velocity,
    customer_claims,
)
benchmark_small = _service(
    "benchmark_small", "3 features of 1 view", _some(customer_profile, "age gender state")
)
benchmark_medium = _service(
    "benchmark_medium",
    "12 features of 3 views",
    _some(customer_profile, _BRIEF),
    _some(customer_credit, "credit_score insurance_score debt_to_income_ratio"),
    _some(customer_risk, "overall_risk_score claims_risk_score num_claims_3y"),
)
benchmark_large = _service(
    "benchmark_large", "41 features of 3 views", customer_profile, customer_credit, customer_risk
)
benchmark_with_odfv = _service(
    "benchmark_with_odfv",
    "41 features of 3 views, a score and a quote",
    customer_profile,
    customer_credit,
    customer_risk,
    underwriting_risk_score,
    policy_premium_adjustments,
)
