"""Payments by card over ten minutes and over a week, and the ratios of one to the other."""

from datetime import timedelta

from feast import (
    Aggregation,
    Entity,
    FeatureService,
    Field,
    FileSource,
    KafkaSource,
    RequestSource,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64

from examples.card_fraud.ratios import INPUTS
from feature_repo.sources import Kafka

card = Entity(name="card", join_keys=["card_id"], value_type=ValueType.STRING, description="Token of a card")

payments = KafkaSource(
    name="card_payments",
    kafka_bootstrap_servers=Kafka().bootstrap,
    topic="card-payments",
    timestamp_field="timestamp",
    message_format=JsonFormat(
        schema_json="tid string, card_id string, merchant_id string, amount double, zip_code string, "
        "timestamp timestamp, is_fraud boolean"
    ),
    watermark_delay_threshold=timedelta(minutes=2),
    tags={"event_id": "tid", "partition_key": "card_id"},
    batch_source=FileSource(name="past_payments", path="data/payments.parquet", timestamp_field="timestamp"),
)


def _over(name, function, window, slide):
    return Aggregation(
        column="amount", function=function, time_window=window, slide_interval=slide, name=name
    )


_SHORT = (timedelta(minutes=10), timedelta(seconds=30))
_LONG = (timedelta(days=7), timedelta(hours=1))

card_aggregates = StreamFeatureView(
    name="card_aggregates",
    entities=[card],
    source=payments,
    timestamp_field="timestamp",
    ttl=timedelta(days=7),
    aggregations=[
        _over("num_trans_last_10m", "count", *_SHORT),
        _over("avg_amt_last_10m", "mean", *_SHORT),
        _over("num_trans_last_1w", "count", *_LONG),
        _over("avg_amt_last_1w", "mean", *_LONG),
    ],
    schema=[
        Field(name="num_trans_last_10m", dtype=Int64),
        Field(name="avg_amt_last_10m", dtype=Float64),
        Field(name="num_trans_last_1w", dtype=Int64),
        Field(name="avg_amt_last_1w", dtype=Float64),
    ],
    description="Payments with a card, fresh and usual",
)

payment = RequestSource(
    name="payment",
    schema=[Field(name="amount", dtype=Float64), Field(name="event_included", dtype=Bool)],
)


@on_demand_feature_view(
    sources=[card_aggregates, payment],
    schema=[Field(name=name, dtype=Float64) for name in (*INPUTS[1:], "card_rule")],
    mode="pandas",
    description="Fresh behaviour over usual behaviour, the payment included; card_rule is a rule of thumb",
)
def card_ratios(inputs):
    import pandas as pd

    from examples.card_fraud.ratios import ratios

    return pd.DataFrame(ratios(inputs, inputs["amount"], inputs["event_included"]))


card_scoring = FeatureService(
    name="card_scoring",
    features=[card_aggregates, card_ratios],
    description="A card's payment: its aggregates, its ratios, and the model card_fraud over them",
    tags={
        "scores": "card_payments",
        "score": "card_rule",
        "alert_above": "0.9",
        "event_type": "card_payment",
        "model": "card_fraud",
        "model.source": "card_payments",
        "model.label": "is_fraud",
        "model.rules": "card_rule",
        "model.features": ",".join(INPUTS),
    },
)
