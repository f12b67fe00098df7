"""On-demand views: the formulas over features and the request.

In Feast's Python mode, without data frames, a request of one row costs 1 ms instead of 8.
"""

from feast import Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64, String

from examples.underwriting.features.contracts import claims_aggregation, provider_network
from examples.underwriting.features.customers import (
    customer_credit,
    customer_profile,
    customer_risk,
    customer_risk_fresh,
)
from examples.underwriting.features.payments import merchant_risk, transaction_details
from examples.underwriting.features.requests import (
    claims_assessment_request,
    fraud_detection_request,
    underwriting_request,
)
from examples.underwriting.features.streams import velocity
from examples.underwriting.formulas import claims, fraud, premium, underwriting

_TYPES = {float: Float64, int: Int64, bool: Bool, str: String}


def _schema(outputs):
    return [Field(name=name, dtype=_TYPES[kind]) for name, kind in outputs.items()]


@on_demand_feature_view(
    sources=[
        customer_profile[list(underwriting.PROFILE)],
        customer_credit[list(underwriting.CREDIT)],
        customer_risk[list(underwriting.RISK)],
        underwriting_request,
    ],
    schema=_schema(underwriting.OUTPUTS),
    mode="python",
    description="Score (0 to 100, higher is safer), price factors and decision of an application",
)
def underwriting_risk_score(inputs):
    from examples.underwriting.formulas import named, underwriting

    return named("underwriting_risk_score", inputs, underwriting.score(inputs))


@on_demand_feature_view(
    sources=[
        customer_profile[list(underwriting.PROFILE)],
        customer_credit[list(underwriting.CREDIT)],
        customer_risk_fresh[list(underwriting.RISK)],
        underwriting_request,
    ],
    schema=_schema(underwriting.OUTPUTS),
    mode="python",
    description="underwriting_risk_score from the risk as it was pushed last",
)
def underwriting_risk_score_fresh(inputs):
    from examples.underwriting.formulas import named, underwriting

    return named("underwriting_risk_score_fresh", inputs, underwriting.score(inputs))


@on_demand_feature_view(
    sources=[
        customer_profile[list(premium.PROFILE)],
        customer_credit[list(premium.CREDIT)],
        underwriting_request,
    ],
    schema=_schema(premium.OUTPUTS),
    mode="python",
    description="A quote: its factors, and dollars a month and a year",
)
def policy_premium_adjustments(inputs):
    from examples.underwriting.formulas import named, premium

    return named("policy_premium_adjustments", inputs, premium.score(inputs))


@on_demand_feature_view(
    sources=[
        claims_aggregation[list(claims.CUSTOMER)],
        provider_network[list(claims.PROVIDER)],
        claims_assessment_request,
    ],
    schema=_schema(claims.OUTPUTS),
    mode="python",
    description="Validity, fraud indicator, reserve and routing of a claim",
)
def claims_fraud_indicators(inputs):
    from examples.underwriting.formulas import claims, named

    return named("claims_fraud_indicators", inputs, claims.score(inputs))


@on_demand_feature_view(
    sources=[
        velocity[list(fraud.VELOCITY)],
        merchant_risk[list(fraud.MERCHANT)],
        transaction_details[list(fraud.DEVICE)],
        fraud_detection_request,
    ],
    schema=_schema(fraud.OUTPUTS),
    mode="python",
    description="Risk of a payment (0 to 100) and what to do",
)
def fraud_detection_score(inputs):
    from examples.underwriting.formulas import fraud, named

    return named("fraud_detection_score", inputs, fraud.score(inputs))
