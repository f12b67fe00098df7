"""Windows of seconds: users that expire, and shops that do not because a batch view shares their hashes."""

import json
from datetime import timedelta
from pathlib import Path

from feast import (
    Aggregation,
    Entity,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import JsonFormat
from feast.types import Int64, String

here = Path(__file__).parent
given = json.loads((here / "topics.json").read_text())

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
past = FileSource(name="past", path=str(here / "past.parquet"), timestamp_field="event_time")
orders = KafkaSource(
    name="orders",
    kafka_bootstrap_servers=given["kafka"],
    topic=given["orders"],
    timestamp_field="event_time",
    message_format=JsonFormat("event_time timestamp, user_id string, shop_id bigint"),
    batch_source=past,
    tags={"max_future_skew": "3s"},
)


def counted(name, entity, seconds):
    return StreamFeatureView(
        name=name,
        entities=[entity],
        schema=[Field(name="orders", dtype=Int64)],
        source=orders,
        timestamp_field="event_time",
        aggregations=[
            Aggregation(
                column="",
                function="count",
                time_window=timedelta(seconds=seconds),
                slide_interval=timedelta(seconds=1),
                name="orders",
            )
        ],
    )


user_now = counted("user_now", user, 2)
user_soon = counted("user_soon", user, 4)
shop_now = counted("shop_now", shop, 4)
shop_profile = FeatureView(
    name="shop_profile",
    entities=[shop],
    schema=[Field(name="shop_id", dtype=Int64), Field(name="owner", dtype=String)],
    source=past,
)
