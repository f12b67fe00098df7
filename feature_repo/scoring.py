"""Scores of an event: on-demand views over the stream views and the event's own fields."""

from claims import user_claims
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64, Map, String, UnixTimestamp
from telemetry import device_telemetry
from transactions import merchant_transactions, user_transactions

from feature_repo.scores import claims, cross_event, iot, transactions

_ARRAYS = {"arrays": "true"}
"""For the scoring lane: these functions also take a dict of arrays, and answer in kind."""

_TYPES = {float: Float64, int: Int64, bool: Bool, str: String}


def _schema(outputs):
    return [Field(name=name, dtype=_TYPES[kind]) for name, kind in outputs.items()]


def _request(name, **fields):
    """The event's own fields, and what is known of the features beside them.

    `event_time` is the event's timestamp; Feast's offline stores drop a column called as that of a source.
    `event_included` says whether the features count this event already. `previous_<feature>` is that
    feature just before the event; None where the features do not include it or the caller does not know.
    """
    fields = {"risk_score": Float64, "event_time": UnixTimestamp, "event_included": Bool, **fields}
    return RequestSource(name=name, schema=[Field(name=n, dtype=t) for n, t in fields.items()])


claim_event = _request("claim_event", claim_amount=Float64, previous_last_claim_timestamp=UnixTimestamp)
transaction_event = _request("transaction_event", amount=Float64, previous_max_transaction_amount_7d=Float64)
telemetry_event = _request(
    "telemetry_event",
    criticality=String,
    operating_hours=Int64,
    last_maintenance=UnixTimestamp,
    sensor_readings=Map,
)


@on_demand_feature_view(
    sources=[user_claims[list(claims.FEATURES)], claim_event],
    schema=_schema(claims.OUTPUTS),
    mode="pandas",
    tags=_ARRAYS,
    description="Scores of a claim; ..._share is a component's part of composite_risk_score",
)
def claim_scores(inputs):
    from feature_repo.scores import claims

    return type(inputs)(claims.score(inputs, inputs))


@on_demand_feature_view(
    sources=[
        user_transactions[list(transactions.USER_FEATURES)],
        merchant_transactions[list(transactions.MERCHANT_FEATURES)],
        transaction_event,
    ],
    schema=_schema(transactions.OUTPUTS),
    mode="pandas",
    tags=_ARRAYS,
    description="Scores of a payment; ..._share is a component's part of composite_fraud_score",
)
def transaction_scores(inputs):
    from feature_repo.scores import transactions

    return type(inputs)(transactions.score(inputs, inputs))


@on_demand_feature_view(
    sources=[device_telemetry[list(iot.WINDOW_FEATURES)]],
    schema=_schema(iot.WINDOW_OUTPUTS),
    mode="pandas",
    tags=_ARRAYS,
    description="Scores of a device over 5 minutes, from its telemetry",
)
def device_scores(inputs):
    from feature_repo.scores import iot

    return type(inputs)(iot.windows(inputs))


@on_demand_feature_view(
    sources=[device_telemetry[list(iot.FEATURES)], telemetry_event],
    schema=_schema(iot.OUTPUTS),
    mode="pandas",
    tags=_ARRAYS,
    description="Scores of a reading; ..._share is a component's part of composite_anomaly_score",
)
def reading_scores(inputs):
    from feature_repo.scores import iot

    return type(inputs)(iot.score(inputs, inputs))


@on_demand_feature_view(
    sources=[
        user_claims[list(cross_event.CLAIM_FEATURES)],
        user_transactions[list(cross_event.TRANSACTION_FEATURES)],
    ],
    schema=_schema(cross_event.OUTPUTS),
    mode="pandas",
    tags=_ARRAYS,
    description="Claims and payments of a user together",
)
def cross_event_activity(inputs):
    from feature_repo.scores import cross_event

    return type(inputs)(cross_event.score(inputs))
