"""Policies, claims under them, providers behind them."""

from datetime import timedelta

from examples.underwriting.features.entities import claim, customer, policy, provider
from examples.underwriting.features.tables import batch_view, fields

policy_details = batch_view(
    "policy_features",
    policy,
    timedelta(days=1),
    "policy_details",
    fields(
        ints="policy_term_months days_until_renewal vehicle_year",
        floats="total_discount_pct",
        doubles="coverage_amount deductible premium_monthly premium_annual vehicle_value",
        texts="customer_id policy_type product_code policy_start_date vehicle_make",
        flags="has_collision has_comprehensive has_liability has_uninsured_motorist has_roadside "
        "multi_policy_discount safe_driver_discount paperless_discount",
    ),
    "A policy; vehicle fields are null where nothing is driven",
)

claims_history = batch_view(
    "claims_history_features",
    claim,
    timedelta(days=7),
    "claims_history",
    fields(
        ints="days_to_first_contact days_to_settlement claim_age_days num_parties_involved "
        "suspicious_indicators_count adjuster_workload",
        floats="fraud_score priority_score",
        doubles="claim_amount_requested claim_amount_approved claim_amount_paid",
        texts="customer_id policy_id provider_id claim_type claim_subtype claim_status adjuster_id",
        flags="injury_flag fatality_flag litigation_flag attorney_represented siu_referral",
    ),
    "A claim as it stands: filed, contacted, settled; what is not known yet is null",
)

claims_aggregation = batch_view(
    "claims_aggregation_features",
    customer,
    timedelta(days=1),
    "claims_aggregations",
    fields(
        ints="total_claims_lifetime claims_count_1y claims_count_3y claims_count_5y days_since_last_claim "
        "fraud_claims_count siu_referral_count auto_claims_count property_claims_count liability_claims_count "
        "medical_claims_count",
        floats="avg_days_between_claims claim_frequency_score pct_claims_approved pct_claims_denied "
        "avg_approval_ratio suspicious_claim_ratio avg_settlement_days litigation_rate",
        doubles="total_claims_amount_lifetime total_claims_amount_1y total_claims_amount_3y avg_claim_amount "
        "max_claim_amount",
    ),
    "A customer's claims; fraud_claims_count are those that an investigation confirmed",
)

provider_network = batch_view(
    "provider_features",
    provider,
    timedelta(days=1),
    "provider_network",
    fields(
        ints="claims_volume_monthly unique_patients_monthly siu_investigation_count referral_count_to "
        "referral_count_from years_in_network",
        floats="quality_score patient_satisfaction_score cost_efficiency_score outcome_score fraud_risk_score "
        "billing_anomaly_score network_centrality_score",
        doubles="avg_claim_amount",
        texts="provider_name provider_type specialty network_status state region urban_rural",
        flags="suspended_flag accredited_flag",
    ),
    "A provider; quality and satisfaction are 1 to 5, fraud_risk_score and billing_anomaly_score shares",
)
