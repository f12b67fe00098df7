"""The latest alerts, read from their topic in a thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streaming import kafka

KEPT = 50


class Alerts:
    """Follows `topic` from near its end; `trouble` says why it does not."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap, self.topic = bootstrap, topic
        self.trouble = "not read yet"
        self.seen = 0
        self._held: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def __enter__(self) -> Alerts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(5)

    def last(self, count: int) -> list[dict[str, Any]]:
        """The newest first."""
        return list(self._held)[: -count - 1 : -1]

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except KafkaException as error:
                self.trouble = f"Kafka at {self.bootstrap}: {' '.join(str(error).split())[:120]}"
                self._stopping.wait(2)

    def _follow(self) -> None:
        more = {"group.id": "tidemark-watch", "enable.auto.commit": False, "log_level": 0}
        consumer = Consumer(kafka.client(self.bootstrap, more))
        try:
            found = consumer.list_topics(self.topic, timeout=5).topics[self.topic]
            if found.error is not None:
                raise KafkaException(found.error)
            starts = []
            for partition in found.partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=5)
                starts.append(TopicPartition(self.topic, partition, max(low, high - KEPT)))
            consumer.assign(starts)
            self.trouble = ""
            while not self._stopping.is_set():
                for message in consumer.consume(100, 0.3):
                    error = message.error()
                    if error is not None:
                        raise KafkaException(error)
                    self._take(message.value())
        finally:
            consumer.close()

    def _take(self, value: bytes | None) -> None:
        self.seen += 1
        try:
            self._held.append(msgspec.json.decode(value or b"", type=dict[str, Any]))
        except msgspec.DecodeError as error:
            self._held.append({"entity_id": "unreadable alert", "event_type": str(error)[:40]})
