"""What Tidemark computes from Kafka: payments and claims of a customer.

Lifetime columns stay in the batch tables: no window reaches back for ever.
"""

from datetime import timedelta

from feast import Aggregation, Field, FileSource, KafkaSource, PushSource, StreamFeatureView
from feast.data_format import JsonFormat
from feast.types import Float64, Int64

from examples.underwriting.features.entities import customer
from examples.underwriting.features.tables import batch_view, settings, table

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
YEAR = timedelta(days=365)


def _stream(name, topic, event_id, columns):
    return KafkaSource(
        name=name,
        kafka_bootstrap_servers=settings.kafka,
        topic=topic,
        timestamp_field="event_timestamp",
        message_format=JsonFormat(schema_json=f"{columns}, event_timestamp timestamp"),
        watermark_delay_threshold=timedelta(minutes=5),
        tags={"event_id": event_id},
        batch_source=FileSource(
            name=f"{name}_past", path=f"data/{name}.parquet", timestamp_field="event_timestamp"
        ),
    )


transactions_stream = _stream(
    "transactions_stream",
    "insurance.transactions",
    "transaction_id",
    "transaction_id string, customer_id string, amount double, transaction_type string, merchant_category string",
)
claims_stream = _stream(
    "claims_stream",
    "insurance.claims.events",
    "claim_id",
    "claim_id string, customer_id string, claim_amount double, claim_type string, status string",
)


def _over(column, function, window, name, slide=None):
    return Aggregation(
        column=column, function=function, time_window=window, slide_interval=slide or window, name=name
    )


def _fields(aggregations):
    return [Field(name=a.name, dtype=Int64 if a.function == "count" else Float64) for a in aggregations]


_payments = [
    _over("amount", "count", HOUR, "txn_count_1h_stream"),
    _over("amount", "sum", HOUR, "txn_amount_sum_1h_stream"),
    _over("amount", "mean", HOUR, "txn_amount_avg_1h_stream"),
    _over("amount", "count", DAY, "txn_count_24h_stream"),
    _over("amount", "sum", DAY, "txn_amount_sum_24h_stream"),
    _over("amount", "mean", DAY, "txn_amount_avg_24h_stream"),
]

customer_transactions = StreamFeatureView(
    name="customer_transaction_stream",
    entities=[customer],
    source=transactions_stream,
    timestamp_field="event_timestamp",
    aggregations=_payments,
    enable_tiling=True,
    tiling_hop_size=timedelta(minutes=5),
    schema=_fields(_payments),
    ttl=DAY,
    description="Payments of a customer in windows that slide every 5 minutes",
)

_claims = [
    *[_over("claim_amount", "count", n * YEAR, f"claims_count_{n}y_stream", DAY) for n in (1, 3, 5)],
    *[_over("claim_amount", "sum", n * YEAR, f"total_claims_amount_{n}y_stream", DAY) for n in (1, 3)],
]

customer_claims = StreamFeatureView(
    name="customer_claims_stream",
    entities=[customer],
    source=claims_stream,
    timestamp_field="event_timestamp",
    aggregations=_claims,
    schema=_fields(_claims),
    ttl=5 * YEAR,
    description="Claims of a customer in windows that slide every day; a year is 365 days",
)

customer_transactions_push_source = PushSource(
    name="customer_transactions_push_source", batch_source=table("customer_transaction_windows")
)

customer_transactions_pushed = batch_view(
    "customer_transaction_pushed",
    customer,
    DAY,
    customer_transactions_push_source,
    _fields(_payments),
    "customer_transaction_stream as of the last payment, pushed into stores that cannot compute windows",
)
velocity = customer_transactions_pushed if settings.profile == "aws" else customer_transactions
"""The view that scores read a customer's velocity from."""
