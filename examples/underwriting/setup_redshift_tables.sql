-- Written from the feature views by `setup_data.py --write-sql`; do not edit.

CREATE SCHEMA IF NOT EXISTS "insurance";

CREATE TABLE IF NOT EXISTS "insurance"."customer_profiles" (
    "customer_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "age" INTEGER,
    "region_risk_zone" INTEGER,
    "customer_tenure_months" INTEGER,
    "num_policies" INTEGER,
    "gender" VARCHAR(256),
    "marital_status" VARCHAR(256),
    "occupation" VARCHAR(256),
    "education_level" VARCHAR(256),
    "state" VARCHAR(256),
    "zip_code" VARCHAR(256),
    "urban_rural" VARCHAR(256),
    "loyalty_tier" VARCHAR(256),
    "has_agent" BOOLEAN
)
DISTKEY ("customer_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."customer_credit_data" (
    "customer_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "credit_score" INTEGER,
    "credit_score_change_3m" INTEGER,
    "credit_history_length_months" INTEGER,
    "num_credit_accounts" INTEGER,
    "num_delinquencies" INTEGER,
    "insurance_score" INTEGER,
    "debt_to_income_ratio" REAL,
    "payment_history_score" REAL,
    "annual_income" DOUBLE PRECISION,
    "credit_score_tier" VARCHAR(256),
    "bankruptcy_flag" BOOLEAN,
    "prior_coverage_lapse" BOOLEAN
)
DISTKEY ("customer_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."customer_risk_metrics" (
    "customer_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "num_claims_1y" INTEGER,
    "num_claims_3y" INTEGER,
    "policy_changes_1y" INTEGER,
    "late_payments_1y" INTEGER,
    "inquiry_count_30d" INTEGER,
    "driving_violations_3y" INTEGER,
    "at_fault_accidents_3y" INTEGER,
    "overall_risk_score" REAL,
    "claims_risk_score" REAL,
    "fraud_risk_score" REAL,
    "churn_risk_score" REAL,
    "total_claims_amount_1y" DOUBLE PRECISION,
    "avg_claim_amount" DOUBLE PRECISION,
    "risk_segment" VARCHAR(256),
    "underwriting_tier" VARCHAR(256),
    "dui_flag" BOOLEAN
)
DISTKEY ("customer_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."lab_results" (
    "customer_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "num_abnormal_results" INTEGER,
    "overall_health_score" REAL,
    "cardiovascular_score" REAL,
    "metabolic_score" REAL,
    "liver_function_score" REAL,
    "kidney_function_score" REAL,
    "medication_adherence_score" REAL,
    "latest_test_date" VARCHAR(256),
    "test_provider" VARCHAR(256),
    "bmi_category" VARCHAR(256),
    "smoker_status" VARCHAR(256),
    "blood_pressure_category" VARCHAR(256),
    "cholesterol_category" VARCHAR(256),
    "diabetes_risk_level" VARCHAR(256),
    "glucose_category" VARCHAR(256),
    "a1c_category" VARCHAR(256),
    "ldl_category" VARCHAR(256),
    "hdl_category" VARCHAR(256),
    "triglycerides_category" VARCHAR(256),
    "health_trend_6m" VARCHAR(256),
    "risk_trend_6m" VARCHAR(256),
    "regular_checkups_flag" BOOLEAN
)
DISTKEY ("customer_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."policy_details" (
    "policy_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "policy_term_months" INTEGER,
    "days_until_renewal" INTEGER,
    "vehicle_year" INTEGER,
    "total_discount_pct" REAL,
    "coverage_amount" DOUBLE PRECISION,
    "deductible" DOUBLE PRECISION,
    "premium_monthly" DOUBLE PRECISION,
    "premium_annual" DOUBLE PRECISION,
    "vehicle_value" DOUBLE PRECISION,
    "customer_id" VARCHAR(256),
    "policy_type" VARCHAR(256),
    "product_code" VARCHAR(256),
    "policy_start_date" VARCHAR(256),
    "vehicle_make" VARCHAR(256),
    "has_collision" BOOLEAN,
    "has_comprehensive" BOOLEAN,
    "has_liability" BOOLEAN,
    "has_uninsured_motorist" BOOLEAN,
    "has_roadside" BOOLEAN,
    "multi_policy_discount" BOOLEAN,
    "safe_driver_discount" BOOLEAN,
    "paperless_discount" BOOLEAN
)
DISTKEY ("policy_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."claims_history" (
    "claim_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "days_to_first_contact" INTEGER,
    "days_to_settlement" INTEGER,
    "claim_age_days" INTEGER,
    "num_parties_involved" INTEGER,
    "suspicious_indicators_count" INTEGER,
    "adjuster_workload" INTEGER,
    "fraud_score" REAL,
    "priority_score" REAL,
    "claim_amount_requested" DOUBLE PRECISION,
    "claim_amount_approved" DOUBLE PRECISION,
    "claim_amount_paid" DOUBLE PRECISION,
    "customer_id" VARCHAR(256),
    "policy_id" VARCHAR(256),
    "provider_id" VARCHAR(256),
    "claim_type" VARCHAR(256),
    "claim_subtype" VARCHAR(256),
    "claim_status" VARCHAR(256),
    "adjuster_id" VARCHAR(256),
    "injury_flag" BOOLEAN,
    "fatality_flag" BOOLEAN,
    "litigation_flag" BOOLEAN,
    "attorney_represented" BOOLEAN,
    "siu_referral" BOOLEAN
)
DISTKEY ("claim_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."claims_aggregations" (
    "customer_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "total_claims_lifetime" INTEGER,
    "claims_count_1y" INTEGER,
    "claims_count_3y" INTEGER,
    "claims_count_5y" INTEGER,
    "days_since_last_claim" INTEGER,
    "fraud_claims_count" INTEGER,
    "siu_referral_count" INTEGER,
    "auto_claims_count" INTEGER,
    "property_claims_count" INTEGER,
    "liability_claims_count" INTEGER,
    "medical_claims_count" INTEGER,
    "avg_days_between_claims" REAL,
    "claim_frequency_score" REAL,
    "pct_claims_approved" REAL,
    "pct_claims_denied" REAL,
    "avg_approval_ratio" REAL,
    "suspicious_claim_ratio" REAL,
    "avg_settlement_days" REAL,
    "litigation_rate" REAL,
    "total_claims_amount_lifetime" DOUBLE PRECISION,
    "total_claims_amount_1y" DOUBLE PRECISION,
    "total_claims_amount_3y" DOUBLE PRECISION,
    "avg_claim_amount" DOUBLE PRECISION,
    "max_claim_amount" DOUBLE PRECISION
)
DISTKEY ("customer_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."provider_network" (
    "provider_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "claims_volume_monthly" INTEGER,
    "unique_patients_monthly" INTEGER,
    "siu_investigation_count" INTEGER,
    "referral_count_to" INTEGER,
    "referral_count_from" INTEGER,
    "years_in_network" INTEGER,
    "quality_score" REAL,
    "patient_satisfaction_score" REAL,
    "cost_efficiency_score" REAL,
    "outcome_score" REAL,
    "fraud_risk_score" REAL,
    "billing_anomaly_score" REAL,
    "network_centrality_score" REAL,
    "avg_claim_amount" DOUBLE PRECISION,
    "provider_name" VARCHAR(256),
    "provider_type" VARCHAR(256),
    "specialty" VARCHAR(256),
    "network_status" VARCHAR(256),
    "state" VARCHAR(256),
    "region" VARCHAR(256),
    "urban_rural" VARCHAR(256),
    "suspended_flag" BOOLEAN,
    "accredited_flag" BOOLEAN
)
DISTKEY ("provider_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."transactions" (
    "transaction_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "minutes_since_last_txn" INTEGER,
    "txn_count_last_hour" INTEGER,
    "txn_count_last_24h" INTEGER,
    "merchant_risk_score" REAL,
    "distance_from_home" REAL,
    "risk_score" REAL,
    "fraud_probability" REAL,
    "amount" DOUBLE PRECISION,
    "customer_id" VARCHAR(256),
    "merchant_id" VARCHAR(256),
    "currency" VARCHAR(256),
    "transaction_type" VARCHAR(256),
    "channel" VARCHAR(256),
    "merchant_category" VARCHAR(256),
    "merchant_country" VARCHAR(256),
    "device_type" VARCHAR(256),
    "ip_country" VARCHAR(256),
    "device_fingerprint_match" BOOLEAN,
    "is_first_transaction" BOOLEAN,
    "high_risk_merchant_flag" BOOLEAN,
    "unusual_amount_flag" BOOLEAN,
    "unusual_time_flag" BOOLEAN,
    "unusual_location_flag" BOOLEAN
)
DISTKEY ("transaction_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."merchants" (
    "merchant_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "merchant_risk" REAL,
    "merchant_name" VARCHAR(256),
    "merchant_trade" VARCHAR(256),
    "high_risk_merchant" BOOLEAN
)
DISTKEY ("merchant_id")
SORTKEY ("event_timestamp");

CREATE TABLE IF NOT EXISTS "insurance"."customer_transaction_windows" (
    "customer_id" VARCHAR(256) NOT NULL,
    "event_timestamp" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "txn_count_1h_stream" BIGINT,
    "txn_amount_sum_1h_stream" DOUBLE PRECISION,
    "txn_amount_avg_1h_stream" DOUBLE PRECISION,
    "txn_count_24h_stream" BIGINT,
    "txn_amount_sum_24h_stream" DOUBLE PRECISION,
    "txn_amount_avg_24h_stream" DOUBLE PRECISION
)
DISTKEY ("customer_id")
SORTKEY ("event_timestamp");
