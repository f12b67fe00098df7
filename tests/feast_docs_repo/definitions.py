"""What Feast's page on tiling defines (docs.feast.dev, concepts/tiling), value for value but in other words.

Nameless aggregations without a slide, `enable_tiling` with a hop, no schema and a KafkaSource that leaves
its columns to the batch source. Feast infers the features from that source's columns, so that, as
Feast's inference says of itself, the source must hold the features beside the raw column. The page
leaves out the entity, the file and `message_format`, which is a required argument of KafkaSource.
"""

from datetime import timedelta

from feast import Aggregation, Entity, FileSource, KafkaSource, StreamFeatureView
from feast.data_format import JsonFormat
from feast.value_type import ValueType

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)

past = FileSource(
    name="transactions_file", path="data/transactions.parquet", timestamp_field="event_timestamp"
)
stream = KafkaSource(
    name="transactions_stream",
    kafka_bootstrap_servers="localhost:9092",
    topic="transactions",
    timestamp_field="event_timestamp",
    batch_source=past,
    message_format=JsonFormat(schema_json=""),
)

hour = timedelta(hours=1)
spending = StreamFeatureView(
    name="customer_transaction_features",
    entities=[customer],
    source=stream,
    timestamp_field="event_timestamp",
    online=True,
    enable_tiling=True,
    tiling_hop_size=timedelta(minutes=5),
    aggregations=[Aggregation(column="amount", function=f, time_window=hour) for f in ("sum", "avg", "std")],
)
