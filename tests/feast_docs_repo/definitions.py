"""A stream view of the form that Feast's page on tiling shows (docs.feast.dev, concepts/tiling).

Nameless aggregations, `enable_tiling` with a hop, no schema and a KafkaSource that leaves its columns to
the batch source. Feast infers the features from that source's columns, so that, as Feast's inference
says of itself, the source must hold the features beside the raw column. (`message_format`, which the
page leaves out, is a required argument of KafkaSource.)
"""

from datetime import timedelta

from feast import Aggregation, Entity, FileSource, KafkaSource, StreamFeatureView
from feast.data_format import JsonFormat
from feast.value_type import ValueType

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)

transactions = FileSource(
    name="transactions_file", path="data/transactions.parquet", timestamp_field="event_timestamp"
)

hour = timedelta(hours=1)
customer_spending = StreamFeatureView(
    name="customer_spending",
    entities=[customer],
    source=KafkaSource(
        name="transactions_stream",
        kafka_bootstrap_servers="localhost:9092",
        topic="transactions",
        timestamp_field="event_timestamp",
        batch_source=transactions,
        message_format=JsonFormat(schema_json=""),
    ),
    aggregations=[Aggregation(column="amount", function=f, time_window=hour) for f in ("sum", "avg", "std")],
    timestamp_field="event_timestamp",
    online=True,
    enable_tiling=True,
    tiling_hop_size=timedelta(minutes=5),
)
