"""The streams: what the topics of payments and claims hold, and sending it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from confluent_kafka import Producer

from examples.underwriting.history.world import DAY
from streaming.errors import ServiceError

if TYPE_CHECKING:
    from examples.underwriting.history.tables import Tables

PAYMENTS, CLAIMS = "insurance.transactions", "insurance.claims.events"
RECENT = 2 * DAY
"""Payments this recent are in their topic: more than the longest of their windows."""

_TIME = ("event_timestamp", pa.timestamp("ms", "UTC"))
_TEXT, _NUMBER = pa.string(), pa.float64()
PAYMENT = pa.schema(
    [
        ("transaction_id", _TEXT),
        ("customer_id", _TEXT),
        ("amount", _NUMBER),
        ("transaction_type", _TEXT),
        ("merchant_category", _TEXT),
        _TIME,
    ]
)
CLAIM = pa.schema(
    [
        ("claim_id", _TEXT),
        ("customer_id", _TEXT),
        ("claim_amount", _NUMBER),
        ("claim_type", _TEXT),
        ("status", _TEXT),
        _TIME,
    ]
)


def payments(tables: Tables) -> list[dict[str, Any]]:
    """Recent payments in order of time, event_timestamp in ms."""
    return tables.payments.messages(tables.world.as_of - RECENT)


def claims(tables: Tables) -> list[dict[str, Any]]:
    """Every claim of the past, as it was filed, event_timestamp in ms: what the windows of years begin with."""
    return tables.claims.messages()


def send(bootstrap: str, topic: str, events: Iterable[dict[str, Any]]) -> int:
    """Send events keyed by customer and wait until all are taken; returns how many. Raises ServiceError."""
    failed: list[str] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(str(error))

    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 2}
    )
    count = 0
    for event in events:
        text = datetime.fromtimestamp(event["event_timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
        body = msgspec.json.encode({**event, "event_timestamp": text})
        producer.produce(topic, body, key=event["customer_id"], on_delivery=delivered)
        producer.poll(0)
        count += 1
    if producer.flush(60) or failed:
        raise ServiceError(
            f"{topic} did not take every event ({failed[:1]}): see whether {bootstrap} answers"
        )
    return count
