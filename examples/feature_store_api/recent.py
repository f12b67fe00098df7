"""Kafka -> the last payments of each card in Redis, for a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import redis
from confluent_kafka import Consumer, TopicPartition

from examples.feature_store_api.online import CARDS, payment, timeline
from streaming.errors import KafkaAway

KEPT = 86_400
"""Seconds that a payment is kept after it happened."""
SHOWN = ("amount", "category", "merchant_id", "location", "is_online")


class Seen(msgspec.Struct):
    """What is kept of a payment; the contract has more."""

    transaction_id: str
    timestamp: datetime
    card_id: str
    amount: float
    category: str
    location: str
    is_online: bool
    merchant_id: str | None = None


class Follower:
    """Follows a topic as a consumer group. Writing the same message twice changes nothing, so offsets are committed
    once Redis has the messages. `skipped` counts messages that are no payments."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        client: redis.Redis,
        group: str = "fraud-recent",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        self.topic, self.redis, self.clock = topic, client, clock
        self.taken = self.skipped = 0
        self._decode = msgspec.json.Decoder(Seen).decode

    def run(self, until_caught_up: bool = True, stop: Callable[[], bool] = lambda: False) -> int:
        """Work until stopped, or until what the topic held at the start is taken; how many payments were.

        Raises KafkaAway when the broker does not answer.
        """
        ends = self._ends()
        self.consumer.subscribe([self.topic])
        left = {partition: end for partition, end in ends.items() if end}
        while not stop() and (left or not until_caught_up):
            messages = self.consumer.consume(5_000, 1.0)
            self._write(messages)
            for message in messages:
                if message.error() is None and message.offset() + 1 >= left.get(message.partition(), 1 << 62):
                    left.pop(message.partition())
            if messages:
                self.consumer.commit(asynchronous=False)
        self.consumer.close()
        return self.taken

    def _ends(self) -> dict[int, int]:
        """What is still to be read of each partition: its end, 0 where the group has read everything."""
        try:
            known = self.consumer.list_topics(self.topic, 15).topics[self.topic]
            parts = [TopicPartition(self.topic, number) for number in known.partitions]
            done = {p.partition: p.offset for p in self.consumer.committed(parts, 15)}
            ends = {p.partition: self.consumer.get_watermark_offsets(p, 15) for p in parts}
        except Exception as error:
            raise KafkaAway(
                f"topic {self.topic} cannot be read ({error}): see that the broker runs"
            ) from error
        return {p: end if end > max(done[p], start) else 0 for p, (start, end) in ends.items()}

    def _write(self, messages: Sequence[Any]) -> None:
        oldest = self.clock() - KEPT
        with self.redis.pipeline(transaction=False) as pipe:
            for message in messages:
                if message.error() is not None:
                    raise KafkaAway(f"topic {self.topic}: {message.error().str()}; see that the broker runs")
                try:
                    one = self._decode(message.value() or b"")
                except msgspec.MsgspecError:
                    self.skipped += 1
                    continue
                self.taken += 1
                at = one.timestamp.timestamp()
                pipe.zadd(CARDS, {one.card_id: at}, gt=True)
                if at > oldest:
                    self._keep(pipe, one.card_id, one, at, oldest)
            pipe.execute()

    @staticmethod
    def _keep(pipe: Any, card: str, one: Seen, at: float, oldest: float) -> None:
        key, gone = payment(card, one.transaction_id), int(at) + KEPT
        fields = {name: getattr(one, name) for name in SHOWN}
        fields["is_online"] = str(one.is_online).lower()
        fields["timestamp"] = one.timestamp.isoformat()
        pipe.hset(key, mapping={name: "" if value is None else value for name, value in fields.items()})
        pipe.expireat(key, gone)
        pipe.zadd(timeline(card), {one.transaction_id: at})
        pipe.zremrangebyscore(timeline(card), "-inf", oldest)
        # Never before the last of its payments.
        pipe.expire(timeline(card), KEPT)
