"""The lane's topics: that they exist, and since when they hold every message."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from streaming import kafka
from streaming.checkpoint import Offsets
from streaming.errors import ServiceError
from streaming.plan import Source

BEGINNING = 0
"""`complete_since` of a feature whose stream was read from its first message."""
EARLIEST = -2
"""How Spark writes the beginning of a partition among offsets."""
GROUP = "tidemark-probe"
SECONDS = 15
LIMIT, LARGEST = "max.message.bytes", 1_048_588
"""The setting of a topic, and its default."""


def require(bootstrap: str, topics: Collection[str]) -> None:
    """Raise ServiceError when one of the topics does not exist, KafkaAway when no broker answers."""
    with kafka.consumer(bootstrap, GROUP) as consumer:
        for topic in topics:
            _partitions(consumer, topic)


def complete(bootstrap: str, topics: Collection[str], offsets: Offsets) -> Offsets:
    """`offsets` with every partition that the topics have; one that is not named begins at its beginning.

    Raises ServiceError when a topic does not exist, KafkaAway when no broker answers.
    """
    with kafka.consumer(bootstrap, GROUP) as consumer:
        return {
            topic: {
                str(p): offsets.get(topic, {}).get(str(p), EARLIEST) for p in _partitions(consumer, topic)
            }
            for topic in topics
        }


def largest(bootstrap: str, topics: Collection[str]) -> int:
    """The most bytes that a message of these topics may have; Kafka's default where it does not say (to us)."""
    client = AdminClient(kafka.client(bootstrap, {"log_level": 0}))
    asked = client.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics])
    found = [LARGEST]
    for answer in asked.values():
        with suppress(KafkaException, TimeoutError):
            found.append(int(answer.result(SECONDS)[LIMIT].value))
    return max(found)


def log_begins(source: Source, now: int) -> int:
    """Event time (ms) from which on the topic holds every event: BEGINNING unless its start was deleted.

    `now` (ms) is the answer for a partition whose messages are all deleted.
    Raises ServiceError when the topic does not exist, KafkaAway when no broker answers.
    """
    with kafka.consumer(source.bootstrap_servers, GROUP) as consumer:
        partitions = _partitions(consumer, source.topic)
        return max(_first(consumer, TopicPartition(source.topic, p), source, now) for p in partitions)


def _partitions(consumer: Consumer, name: str) -> list[int]:
    topic = consumer.list_topics(name, timeout=SECONDS).topics[name]
    if topic.error or not topic.partitions:
        raise ServiceError(f"topic {name} does not exist: run `tidemark topics apply`, or create it")
    return list(topic.partitions)


def _first(consumer: Consumer, partition: TopicPartition, source: Source, now: int) -> int:
    low, high = consumer.get_watermark_offsets(partition, timeout=SECONDS)
    if low == 0:
        return BEGINNING
    if low == high:
        return now
    consumer.assign([TopicPartition(partition.topic, partition.partition, low)])
    message = consumer.poll(SECONDS)
    if message is None or message.error():
        raise ServiceError(f"topic {source.topic} cannot be read at its beginning: check the broker's log")
    return message.timestamp()[1] + source.max_future_skew
