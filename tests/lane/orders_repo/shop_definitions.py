"""A Feast repo with every function over every kind of column. `topics.json` beside it says where the events are."""

import json
from datetime import timedelta
from pathlib import Path

from feast import Entity, Field, FileSource, KafkaSource, StreamFeatureView, ValueType
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.stream_feature_view import stream_feature_view
from feast.types import Bool, Float32, Float64, Int64, String

here = Path(__file__).parent
given = json.loads((here / "topics.json").read_text())

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING, tags={"session_gap": "10m"})
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)

past = FileSource(name="past", path=str(here / "past.parquet"), timestamp_field="event_time")
orders = KafkaSource(
    name="orders",
    kafka_bootstrap_servers=given["kafka"],
    topic=given["orders"],
    timestamp_field="event_time",
    watermark_delay_threshold=timedelta(minutes=30),
    message_format=JsonFormat(
        "order_id string, event_time timestamp, user_id string, shop_id bigint, amount double, points bigint, "
        "city string, gift boolean, status string, discount double"
    ),
    batch_source=past,
    tags={
        "event_id": "order_id",
        "deduplicate": given.get("deduplicate", "true"),
        "session_amount": "amount",
        "session_distinct": "shop_id",
    },
)
visits = KafkaSource(
    name="visits",
    kafka_bootstrap_servers=given["kafka"],
    topic=given["visits"],
    timestamp_field="event_time",
    message_format=JsonFormat("user_id string, event_time timestamp, seconds double"),
    batch_source=past,
)

KINDS = {"amount": Float64, "points": Int64, "city": String, "gift": Bool, "net": Float64, "seconds": Float64}
KEEPS_KIND = ("min", "max", "first", "last")
NUMBER = Float32 if given.get("narrow") else Float64


def over(column, functions, *windows):
    """One aggregation for each function and each (length, slide) in seconds."""
    return [
        Aggregation(
            column=column,
            function=function,
            time_window=timedelta(seconds=length),
            slide_interval=timedelta(seconds=slide),
            name=f"{column or 'all'}_{function}_{length}_{slide}",
        )
        for function in functions
        for length, slide in windows
    ]


def fields(aggregations):
    """What the aggregations compute, as Feast fields."""

    def dtype(a):
        if a.function in KEEPS_KIND:
            return KINDS[a.column]
        return Int64 if a.function.startswith("count") else NUMBER

    return [Field(name=a.name, dtype=dtype(a)) for a in aggregations]


MINUTE, TEN, TUMBLING, LONG = (60, 5), (600, 30), (600, 600), (7200, 600)
NUMERIC = ("sum", "mean", "std", "var", "std_pop", "var_pop")
ORDERED = ("count", "min", "max", "first", "last")

of_user = [
    *over("", ("count",), MINUTE, TEN, TUMBLING, LONG, (60, 60)),
    *over("amount", (*ORDERED, *NUMERIC, "count_distinct"), MINUTE, TEN, TUMBLING, LONG),
    *over("points", (*ORDERED, "sum", "mean", "std", "count_distinct"), TEN, (60, 60)),
    *over("city", (*ORDERED, "count_distinct"), TEN, LONG),
    *over("gift", ORDERED, TEN),
    *(over("amount", ("sum",), (14400, 600), (600, 10)) if given.get("wider") else ()),
    *(over("points", ("max",), LONG) if given.get("wider") else ()),
]
user_orders = StreamFeatureView(
    name="user_orders",
    entities=[user],
    schema=[Field(name="user_id", dtype=String), *fields(of_user)],
    source=orders,
    timestamp_field="event_time",
    aggregations=of_user,
)

of_shop = [
    *over("net", ("count", "sum", "mean", "max", "std"), (3600, 300), (3600, 3600)),
    *over("user_id", ("count_distinct",), (3600, 300)),
]


@stream_feature_view(
    entities=[shop],
    source=orders,
    timestamp_field="event_time",
    aggregations=of_shop,
    schema=[Field(name="shop_id", dtype=Int64), *fields(of_shop)],
    ttl=timedelta(0),
    mode="spark",
)
def shop_orders(events):
    from pyspark.sql import functions as F

    paid = events.filter(F.col("status") == "paid")
    return paid.withColumn("net", F.col("amount") - F.coalesce("discount", F.lit(0.0)))


of_pair = [*over("amount", ("count", "sum"), LONG), *over("city", ("last",), LONG)]
pair_orders = StreamFeatureView(
    name="pair_orders",
    entities=[user, shop],
    schema=[Field(name="user_id", dtype=String), Field(name="shop_id", dtype=Int64), *fields(of_pair)],
    source=orders,
    timestamp_field="event_time",
    aggregations=of_pair,
)

of_visits = [*over("", ("count",), TEN), *over("seconds", ("mean", "max"), TEN, LONG)]
user_visits = StreamFeatureView(
    name="user_visits",
    entities=[user],
    schema=[Field(name="user_id", dtype=String), *fields(of_visits)],
    source=visits,
    timestamp_field="event_time",
    aggregations=of_visits,
)
