"""Reads topics of Kafka as they are now, to their present end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streaming import kafka
from streaming.errors import KafkaAway

SECONDS = 30
"""How long the broker may be silent."""
NOWHERE = 2**63 - 1
"""An offset that no partition has."""


@contextmanager
def reading(bootstrap: str, group: str) -> Iterator[LogReader]:
    """A reader for the time of the context. Raises KafkaAway where the broker is silent."""
    ends = {"auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.wait.max.ms": 50}
    with kafka.consumer(bootstrap, group, **ends) as consumer:
        yield LogReader(consumer)


class LogReader:
    """Reads with a consumer that tells where a partition ends; see `reading`."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def partitions(self, topic: str) -> list[int]:
        """Numbers of the topic's partitions; none for a topic that does not exist."""
        return list(self._consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions)

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition, the first offset that is kept and the one after the last."""
        return {
            p: self._consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=SECONDS)
            for p in self.partitions(topic)
        }

    def at(self, topic: str, millis: int) -> dict[int, int]:
        """By partition, the offset of the first message that Kafka has from a time (ms) on; NOWHERE without one."""
        asked = [TopicPartition(topic, p, millis) for p in self.partitions(topic)]
        found = self._consumer.offsets_for_times(asked, timeout=SECONDS) if asked else []
        return {place.partition: place.offset if place.offset >= 0 else NOWHERE for place in found}

    def read(self, topic: str, starts: Mapping[int, int] | None = None) -> Iterator[Message]:
        """Every message to the present end, from `starts`, or from the beginning of a partition that has none."""
        ends, places = {}, []
        for number, (low, high) in self.bounds(topic).items():
            first = max(low, (starts or {}).get(number, low))
            if first < high:
                ends[number] = high
                places.append(TopicPartition(topic, number, first))
        self._consumer.assign(places)
        heard = time.monotonic()
        while ends:
            messages = self._consumer.consume(10_000, timeout=0.1)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > SECONDS:
                raise KafkaAway(f"{topic}: nothing came in {SECONDS} s: check its broker")
            for message in messages:
                number, offset = message.partition() or 0, message.offset() or 0
                if (error := message.error()) is not None:
                    # The last offset may be a transaction's marker, or compacted away: no message comes from there.
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    ends.pop(number, None)
                elif number in ends:
                    if offset < ends[number]:
                        yield message
                    if offset + 1 >= ends[number]:
                        del ends[number]
