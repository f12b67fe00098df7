"""An entity's messages in Kafka: found, and erased as far as a log lets one.

A log drops whole beginnings of partitions, never single messages. A compacted topic forgets a key after a
tombstone; any other keeps a message until its retention, or until everything before it and itself are deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType

from streaming import kafka
from streaming.checkpoint import Offsets
from streaming.errors import ServiceError
from tidemark.admin import admin
from tidemark.log_reader import LogReader, reading

SECONDS = 30


@dataclass
class Found:
    """A topic's messages of the entity. `last` is the highest offset by partition, `newest` the last one's time (ms)."""

    topic: str
    messages: int = 0
    last: dict[int, int] = field(default_factory=dict)
    newest: int = 0
    retention: int = 0
    compacted: bool = False
    erased: str = ""


def find(bootstrap: str, topics: Iterable[str], value: str) -> list[Found]:
    """Read the topics from their beginning to their present end. Raises KafkaAway, ServiceError.

    A message is the entity's when its key is the value, or the value stands in its text as a word of its own.
    """
    found = []
    with reading(bootstrap, "tidemark-forget") as reader:
        for topic in topics:
            if reader.partitions(topic):
                found.append(_policy(bootstrap, _scan(reader, topic, value)))
    return found


def erase(bootstrap: str, found: Found, value: str, archived: Offsets | None) -> None:
    """Erase what was found. `archived` bounds by partition what may be deleted: None deletes nothing that is not compacted.

    Raises ServiceError when the broker refuses.
    """
    if not found.messages:
        return
    if found.compacted:
        _tombstone(bootstrap, found.topic, value)
        found.erased = "tombstone sent: gone when the broker compacts the topic"
        return
    if archived is None:
        return
    ends = archived.get(found.topic)
    bound = {p: last + 1 for p, last in found.last.items() if ends is None or ends.get(str(p), 0) > last}
    orders = [TopicPartition(found.topic, p, end) for p, end in bound.items()]
    client = admin(bootstrap)
    for order, future in (client.delete_records(orders) if orders else {}).items():
        try:
            future.result(SECONDS)
        except KafkaException as refused:
            raise ServiceError(
                f"{order.topic}: the broker did not delete records ({refused.args[0].str()}): it needs the right to"
            ) from None
    kept = len(found.last) - len(bound)
    found.erased = f"deleted up to the last of them on {len(bound)} partitions" + (
        f"; {kept} are not archived so far: run the history lane, then this again" if kept else ""
    )


def _scan(reader: LogReader, topic: str, value: str) -> Found:
    found, names = Found(topic), naming(value)
    for message in reader.read(topic):
        if names(message.key() or b"") or names(message.value() or b""):
            found.messages += 1
            found.last[message.partition() or 0] = message.offset() or 0
            found.newest = max(found.newest, message.timestamp()[1])
    return found


def naming(value: str) -> Callable[[bytes], bool]:
    """Whether a text names the value: as a word, so that U1 is not found in U10."""
    needle = value.encode()
    word = re.compile(rb"(?<![\w-])" + re.escape(needle) + rb"(?![\w-])")
    return lambda text: needle in text and word.search(text) is not None


def _policy(bootstrap: str, found: Found) -> Found:
    resource = ConfigResource(ResourceType.TOPIC, found.topic)
    client = admin(bootstrap)  # held: without it its answers do not come
    config = client.describe_configs([resource])[resource].result(SECONDS)
    found.retention = int(config["retention.ms"].value)
    found.compacted = "compact" in config["cleanup.policy"].value
    return found


def _tombstone(bootstrap: str, topic: str, value: str) -> None:
    failed: list[str] = []
    producer = Producer(kafka.client(bootstrap, {"partitioner": "murmur2_random"}))
    producer.produce(
        topic, None, value.encode(), on_delivery=lambda e, _: failed.append(e.str()) if e else None
    )
    if producer.flush(SECONDS) or failed:
        raise ServiceError(
            f"{topic} did not take a tombstone ({', '.join(failed) or 'no answer'}): check its broker"
        )
