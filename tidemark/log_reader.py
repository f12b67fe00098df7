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


class LogReader:
    """A consumer of its own group that commits nothing; use it in a `with`. Raises KafkaAway wherever the broker is silent."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self.bootstrap = bootstrap
        settings = {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
        self._consumer = Consumer(kafka.client(bootstrap, settings))

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition, the first offset that is kept and the one after the last; empty for a topic that does not exist."""
        with self._away():
            partitions = self._consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions
            return {
                p: self._consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=SECONDS)
                for p in partitions
            }

    def at(self, topic: str, millis: int) -> dict[int, int]:
        """By partition, the offset of the first message that Kafka has from a time (ms) on; without those that have none."""
        asked = [TopicPartition(topic, p, millis) for p in self.bounds(topic)]
        with self._away():
            found = self._consumer.offsets_for_times(asked, timeout=SECONDS) if asked else []
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def read(self, topic: str, starts: Mapping[int, int] | None = None) -> Iterator[Message]:
        """Every message of the partitions in `starts` (all of them from their beginning) to the present end."""
        ends, places = {}, []
        for number, (low, high) in self.bounds(topic).items():
            first = low if starts is None else max(low, starts.get(number, high))
            if first < high:
                ends[number] = high
                places.append(TopicPartition(topic, number, first))
        with self._away():
            self._consumer.assign(places)
            heard = time.monotonic()
            while ends:
                messages = self._consumer.consume(10_000, timeout=0.1)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > SECONDS:
                    raise KafkaAway(f"{topic}: nothing came in {SECONDS} s: check its broker")
                for message in messages:
                    number = message.partition() or 0
                    if (error := message.error()) is not None:
                        # The last offset may be a transaction's marker, or compacted away: no message comes from there.
                        if error.code() != KafkaError._PARTITION_EOF:
                            raise KafkaException(error)
                        ends.pop(number, None)
                    elif number in ends:
                        if (message.offset() or 0) < ends[number]:
                            yield message
                        if (message.offset() or 0) + 1 >= ends[number]:
                            del ends[number]

    @contextmanager
    def _away(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise KafkaAway(
                f"Kafka at {self.bootstrap} does not answer ({error.args[0].str()}): start it"
            ) from error
