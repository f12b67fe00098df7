"""What is known of a customer: profile, credit, risk, laboratory."""

from datetime import timedelta

from feast import PushSource

from examples.underwriting.features.entities import customer
from examples.underwriting.features.tables import batch_view, fields, table

customer_profile = batch_view(
    "customer_profile_features",
    customer,
    timedelta(days=1),
    "customer_profiles",
    fields(
        ints="age region_risk_zone customer_tenure_months num_policies",
        texts="gender marital_status occupation education_level state zip_code urban_rural loyalty_tier",
        flags="has_agent",
    ),
    "Who the customer is; region_risk_zone is 1 (calm) to 5",
)

customer_credit = batch_view(
    "customer_credit_features",
    customer,
    timedelta(hours=1),
    "customer_credit_data",
    fields(
        ints="credit_score credit_score_change_3m credit_history_length_months num_credit_accounts "
        "num_delinquencies insurance_score",
        floats="debt_to_income_ratio payment_history_score",
        doubles="annual_income",
        texts="credit_score_tier",
        flags="bankruptcy_flag prior_coverage_lapse",
    ),
    "Credit of the customer, as the bureau says when it is asked",
)

_risk = fields(
    ints="num_claims_1y num_claims_3y policy_changes_1y late_payments_1y inquiry_count_30d "
    "driving_violations_3y at_fault_accidents_3y",
    floats="overall_risk_score claims_risk_score fraud_risk_score churn_risk_score",
    doubles="total_claims_amount_1y avg_claim_amount",
    texts="risk_segment underwriting_tier",
    flags="dui_flag",
)

customer_risk = batch_view(
    "customer_risk_features",
    customer,
    timedelta(hours=1),
    "customer_risk_metrics",
    _risk,
    "Risk of the customer, 0 to 100, higher is riskier",
)

customer_risk_push_source = PushSource(
    name="customer_risk_push_source", batch_source=table("customer_risk_metrics")
)

customer_risk_fresh = batch_view(
    "customer_risk_features_fresh",
    customer,
    timedelta(hours=1),
    customer_risk_push_source,
    _risk,
    "customer_risk_features, also pushed as they change",
)

lab_results = batch_view(
    "lab_results_features",
    customer,
    timedelta(days=7),
    "lab_results",
    fields(
        ints="num_abnormal_results",
        floats="overall_health_score cardiovascular_score metabolic_score liver_function_score "
        "kidney_function_score medication_adherence_score",
        texts="latest_test_date test_provider bmi_category smoker_status blood_pressure_category "
        "cholesterol_category diabetes_risk_level glucose_category a1c_category ldl_category hdl_category "
        "triglycerides_category health_trend_6m risk_trend_6m",
        flags="regular_checkups_flag",
    ),
    "Laboratory of customers who were tested; scores are 0 to 100, 100 is healthy",
)
