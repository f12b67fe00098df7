"""Payments one by one, and the merchants that are paid."""

from datetime import timedelta

from examples.underwriting.features.entities import merchant, transaction
from examples.underwriting.features.tables import batch_view, fields

transaction_details = batch_view(
    "transaction_features",
    transaction,
    timedelta(hours=1),
    "transactions",
    fields(
        ints="minutes_since_last_txn txn_count_last_hour txn_count_last_24h",
        floats="merchant_risk_score distance_from_home risk_score fraud_probability",
        doubles="amount",
        texts="customer_id merchant_id currency transaction_type channel merchant_category merchant_country "
        "device_type ip_country",
        flags="device_fingerprint_match is_first_transaction high_risk_merchant_flag unusual_amount_flag "
        "unusual_time_flag unusual_location_flag",
    ),
    "A payment that was made; one not made yet has none of these",
)

merchant_risk = batch_view(
    "merchant_features",
    merchant,
    timedelta(days=31),
    "merchants",
    fields(floats="merchant_risk", texts="merchant_name merchant_trade", flags="high_risk_merchant"),
    "A merchant before any payment to it; merchant_risk is a share, 0 to 1",
)
