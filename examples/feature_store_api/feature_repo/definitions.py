"""Features of a card: windowed ones from the stream, the last payment's from PostgreSQL."""

import json
from datetime import timedelta

from feast import Aggregation, Entity, FeatureService, FeatureView, Field, KafkaSource, ValueType
from feast.data_format import JsonFormat
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.stream_feature_view import stream_feature_view
from feast.types import Float64, Int64, String

from examples.feature_store_api.settings import FraudSettings
from generators.schema import json_schema

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

card = Entity(
    name="card", join_keys=["cc_num"], value_type=ValueType.STRING, description="Token of a card's number"
)

warehouse = PostgreSQLSource(
    name="credit_card_features",
    table="credit_card_features",
    timestamp_field="feature_timestamp",
    created_timestamp_column="created_at",
    description="Features of every payment, as of that payment",
)
payments = KafkaSource(
    name="transactions",
    kafka_bootstrap_servers=FraudSettings().bootstrap,
    topic=FraudSettings().topic,
    timestamp_field="timestamp",
    message_format=JsonFormat(schema_json=json.dumps(json_schema("transactions"))),
    watermark_delay_threshold=timedelta(minutes=2),
    tags={"event_id": "transaction_id"},
    batch_source=warehouse,
)


def _over(function, column, window, slide, name):
    return Aggregation(column=column, function=function, time_window=window, slide_interval=slide, name=name)


@stream_feature_view(
    entities=[card],
    source=payments,
    timestamp_field="timestamp",
    aggregations=[
        _over("count", "amt", 10 * MINUTE, MINUTE / 2, "txn_count_last_10_min"),
        _over("mean", "amt", HOUR, 5 * MINUTE, "avg_amt_last_1_hour"),
        _over("last", "amt", 90 * DAY, DAY, "amt"),
        _over("last", "distance_to_merchant", 90 * DAY, DAY, "distance_to_merchant"),
    ],
    schema=[
        Field(name="txn_count_last_10_min", dtype=Int64),
        Field(name="avg_amt_last_1_hour", dtype=Float64),
        Field(name="amt", dtype=Float64),
        Field(name="distance_to_merchant", dtype=Float64),
    ],
    ttl=365 * DAY,
    mode="spark",
    description="Recent use of a card, computed by the engine",
)
def card_activity(events):
    from pyspark.sql import functions as F

    from examples.feature_store_api.formulas import DISTANCE_SQL, NOWHERE

    return events.withColumns(
        {
            "cc_num": F.col("card_id"),
            "amt": F.col("amount"),
            "distance_to_merchant": F.coalesce(F.expr(DISTANCE_SQL), F.lit(NOWHERE)),
        }
    )


card_features = FeatureView(
    name="card_features",
    entities=[card],
    ttl=365 * DAY,
    schema=[
        Field(name="cc_num", dtype=String),
        Field(name="hour_of_day", dtype=Int64),
        Field(name="day_of_week", dtype=Int64),
        Field(name="age_at_txn", dtype=Float64),
        Field(name="category", dtype=String),
        Field(name="gender", dtype=String),
        Field(name="city_pop", dtype=Int64),
    ],
    source=warehouse,
    description="The last payment with a card and its holder, as PostgreSQL has them",
)
fraud_detection = FeatureService(
    name="fraud_detection",
    features=[card_activity, card_features],
    description="The ten inputs of the fraud model",
)
