"""Insurance claims, by the user who files them and the provider behind them."""

from datetime import timedelta

import entities
import sources
from feast import StreamFeatureView
from feast.types import UnixTimestamp
from windows import fields, rolling

_user = [
    *rolling("claim_count_{}", "count", "claim_amount", "1min", "5min", "1hr", "6hr", "24hr", "7d"),
    *rolling("avg_claim_amount_{}", "mean", "claim_amount", "1min", "5min", "1hr", "6hr", "24hr", "7d"),
    *rolling("total_claim_amount_{}", "sum", "claim_amount", "1hr", "6hr", "24hr"),
    *rolling("stddev_claim_amount_{}", "std", "claim_amount", "1hr", "24hr"),
    *rolling("max_claim_amount_{}", "max", "claim_amount", "1hr", "24hr"),
    *rolling("min_claim_amount_{}", "min", "claim_amount", "24hr"),
    *rolling("distinct_claim_types_{}", "count_distinct", "claim_type", "6hr"),
    *rolling("distinct_locations_{}", "count_distinct", "location", "24hr"),
    *rolling("last_claim_timestamp_{}", "max", "timestamp", "1hr"),
    *rolling("last_claim_timestamp", "max", "timestamp", "24hr"),
    *rolling("sum_claim_risk_{}", "sum", "risk_score", "1hr"),
    *rolling("avg_claim_risk_{}", "mean", "risk_score", "1hr"),
    *rolling("max_claim_risk_{}", "max", "risk_score", "1hr"),
]

user_claims = StreamFeatureView(
    name="user_claims",
    entities=[entities.user],
    source=sources.of(sources.claims, "user_claims"),
    timestamp_field="timestamp",
    aggregations=_user,
    schema=fields(_user, last_claim_timestamp=UnixTimestamp, last_claim_timestamp_1hr=UnixTimestamp),
    ttl=timedelta(days=7),
    description="Claims of a user",
)

_provider = [
    *rolling("provider_claim_count_{}", "count", "claim_amount", "1hr", "24hr", "7d"),
    *rolling("provider_avg_claim_amount_{}", "mean", "claim_amount", "24hr", "7d"),
    *rolling("provider_stddev_claim_amount_{}", "std", "claim_amount", "7d"),
    *rolling("provider_max_claim_amount_{}", "max", "claim_amount", "24hr"),
    *rolling("provider_unique_users_{}", "count_distinct", "user_id", "24hr", "7d"),
    *rolling("provider_avg_claim_risk_{}", "mean", "risk_score", "24hr"),
]

provider_claims = StreamFeatureView(
    name="provider_claims",
    entities=[entities.provider],
    source=sources.of(sources.claims, "provider_claims"),
    timestamp_field="timestamp",
    aggregations=_provider,
    schema=fields(_provider),
    ttl=timedelta(days=7),
    description="Claims that name a provider",
)
