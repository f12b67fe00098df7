"""What a caller must say beside the keys."""

from feast import Field, RequestSource
from feast.types import Bool, Float32, Float64, Int32, String


def _request(name, **types):
    return RequestSource(name=name, schema=[Field(name=field, dtype=dtype) for field, dtype in types.items()])


underwriting_request = _request(
    "underwriting_request",
    requested_coverage=Float64,
    requested_deductible=Float64,
    policy_type=String,
    term_months=Int32,
    additional_drivers=Int32,
    vehicle_age=Int32,
)
fraud_detection_request = _request(
    "fraud_detection_request",
    transaction_amount=Float64,
    merchant_category=String,
    transaction_channel=String,
    device_trust_score=Float32,
    session_duration_seconds=Int32,
    is_international=Bool,
)
claims_assessment_request = _request(
    "claims_assessment_request",
    claim_amount_requested=Float64,
    claim_type=String,
    days_since_incident=Int32,
    documentation_score=Float32,
    has_witnesses=Bool,
    police_report_filed=Bool,
)
