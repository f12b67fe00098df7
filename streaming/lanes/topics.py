"""The lane's topics: that they exist, and since when they hold every message."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streaming import kafka
from streaming.checkpoint import Offsets
from streaming.errors import KafkaAway, ServiceError
from streaming.plan import Source

BEGINNING = 0
"""`complete_since` of a feature whose stream was read from its first message."""
EARLIEST = -2
"""How Spark writes the beginning of a partition among offsets."""
SECONDS = 15


def require(bootstrap: str, topics: Collection[str]) -> None:
    """Raise ServiceError when one of the topics does not exist, KafkaAway when no broker answers."""
    with _consumer(bootstrap) as consumer:
        for topic in topics:
            _partitions(consumer, topic)


def complete(bootstrap: str, topics: Collection[str], offsets: Offsets) -> Offsets:
    """`offsets` with every partition that the topics have; one that is not named begins at its beginning.

    Raises ServiceError when a topic does not exist, KafkaAway when no broker answers.
    """
    with _consumer(bootstrap) as consumer:
        return {
            topic: {
                str(p): offsets.get(topic, {}).get(str(p), EARLIEST) for p in _partitions(consumer, topic)
            }
            for topic in topics
        }


def log_begins(source: Source, now: int) -> int:
    """Event time (ms) from which on the topic holds every event: BEGINNING unless its start was deleted.

    `now` (ms) is the answer for a partition whose messages are all deleted.
    Raises ServiceError when the topic does not exist, KafkaAway when no broker answers.
    """
    with _consumer(source.bootstrap_servers) as consumer:
        partitions = _partitions(consumer, source.topic)
        return max(_first(consumer, TopicPartition(source.topic, p), source, now) for p in partitions)


@contextmanager
def _consumer(bootstrap: str) -> Iterator[Consumer]:
    asking: dict[str, Any] = {"group.id": "tidemark-probe", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer(kafka.client(bootstrap, asking))
    try:
        yield consumer
    except KafkaException as error:
        reason = error.args[0].str() if error.args else error
        raise KafkaAway(f"Kafka at {bootstrap} does not answer ({reason}): start it") from error
    finally:
        consumer.close()


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
