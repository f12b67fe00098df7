"""Payments, by user, by card and by merchant."""

from datetime import timedelta

import entities
import sources
from feast import StreamFeatureView
from feast.stream_feature_view import stream_feature_view
from feast.types import Int64
from windows import fields, rolling

_user = [
    *rolling("transaction_count_{}", "count", "amount", "1min", "5min", "1hr", "24hr", "7d"),
    *rolling("avg_transaction_amount_{}", "mean", "amount", "1min", "5min", "1hr", "24hr", "7d"),
    *rolling("total_amount_{}", "sum", "amount", "1hr", "24hr"),
    *rolling("max_transaction_amount_{}", "max", "amount", "1hr", "24hr", "7d"),
    *rolling("min_transaction_amount_{}", "min", "amount", "24hr"),
    *rolling("stddev_transaction_amount_{}", "std", "amount", "24hr", "7d"),
    *rolling("distinct_merchants_{}", "count_distinct", "merchant_id", "1hr", "24hr", "7d"),
    *rolling("distinct_locations_{}", "count_distinct", "location", "1hr", "24hr"),
    *rolling("distinct_categories_{}", "count_distinct", "category", "24hr"),
    *rolling("online_transactions_{}", "sum", "online", "1hr"),
    *rolling("sum_transaction_risk_{}", "sum", "risk_score", "1hr"),
    *rolling("avg_transaction_risk_{}", "mean", "risk_score", "1hr"),
    *rolling("max_transaction_risk_{}", "max", "risk_score", "1hr"),
]


@stream_feature_view(
    entities=[entities.user],
    source=sources.of(sources.transactions, "user_transactions"),
    timestamp_field="timestamp",
    aggregations=_user,
    schema=fields(_user, online_transactions_1hr=Int64),
    ttl=timedelta(days=7),
    mode="spark",
    description="Payments of a user",
)
def user_transactions(events):
    return events.withColumn("online", events.is_online.cast("int"))


_card = [
    *rolling("num_trans_last_10m", "count", "amount", "10min"),
    *rolling("num_trans_last_1h", "count", "amount", "1hr"),
    *rolling("num_trans_last_1w", "count", "amount", "7d"),
    *rolling("avg_amt_last_10m", "mean", "amount", "10min"),
    *rolling("avg_amt_last_1h", "mean", "amount", "1hr"),
    *rolling("avg_amt_last_1w", "mean", "amount", "7d"),
    # The fraud feature store's names for two of them.
    *rolling("txn_count_last_10_min", "count", "amount", "10min"),
    *rolling("avg_amt_last_1_hour", "mean", "amount", "1hr"),
]

card_transactions = StreamFeatureView(
    name="card_transactions",
    entities=[entities.card],
    source=sources.of(sources.transactions, "card_transactions"),
    timestamp_field="timestamp",
    aggregations=_card,
    schema=fields(_card),
    ttl=timedelta(days=7),
    description="Payments with a card",
)

_merchant = [
    *rolling("merchant_transaction_count_{}", "count", "amount", "24hr"),
    *rolling("merchant_avg_amount_{}", "mean", "amount", "24hr"),
    *rolling("merchant_unique_users_{}", "count_distinct", "user_id", "24hr"),
]

merchant_transactions = StreamFeatureView(
    name="merchant_transactions",
    entities=[entities.merchant],
    source=sources.of(sources.transactions, "merchant_transactions"),
    timestamp_field="timestamp",
    aggregations=_merchant,
    schema=fields(_merchant),
    ttl=timedelta(days=1),
    tags={"distinct_k": "256"},
    description="Payments to a merchant; a cash withdrawal has none",
)
