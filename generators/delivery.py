"""Messages to Kafka with an account of each: sent, acknowledged, failed, and how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from generators.latency import Latency
from streaming import kafka
from streaming.errors import ServiceError

_OUTSTANDING = 16_000
"""Unacknowledged messages beyond which sending waits: the 64 MB buffer never overflows (events are about
1 kB), and what is on its way stays in the processor's cache."""

_PATIENCE = 5
"""Seconds within which a broker must answer at the start."""


@dataclass(frozen=True)
class KafkaSettings:
    """How to produce. `acks` is "all" (with idempotence), "1" or "0"; `timeout` seconds for an ack.

    `batch_kb` is the size of a batch before compression: 256 costs both sides less than 64.
    """

    bootstrap: str
    acks: str = "all"
    timeout: float = 30.0
    batch_kb: int = 64

    def client(self) -> dict[str, Any]:
        """librdkafka's configuration: 64 KB batches, 10 ms linger, snappy, 64 MB buffer, 5 in flight.

        Keys go to partitions as Java's clients send them (murmur2).
        """
        return {
            **kafka.client(self.bootstrap),
            "acks": self.acks,
            "enable.idempotence": self.acks == "all",
            "batch.size": self.batch_kb * 1024,
            "linger.ms": 10,
            "compression.type": "snappy",
            "queue.buffering.max.kbytes": 65_536,
            "max.in.flight": 5,
            "partitioner": "murmur2_random",
            "message.timeout.ms": int(self.timeout * 1000),
            "log_level": 2,
        }


class Delivery:
    """One producer. Messages of a key stay in order; call `close` to wait for what is on its way."""

    def __init__(self, settings: KafkaSettings, topics: Iterable[str]) -> None:
        """Raises ServiceError when no broker answers or a topic is missing."""
        self.settings = settings
        self.sent = self.bytes = self.acked = 0
        self.failures: Counter[str] = Counter()
        self.latency = Latency()
        self._recent: list[float] = []
        self._on_delivery = self._listener()
        self._trouble, self._down = "", False
        self._producer = Producer({**settings.client(), "error_cb": self._error})
        self._check(topics)

    @property
    def failed(self) -> int:
        return self.failures.total()

    def send(self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> None:
        """Queues messages; waits while too many are on their way. None as a value is a tombstone."""
        while len(self._producer) > _OUTSTANDING:
            self.poll(0.002)
        batch = [{"key": key, "value": value} for key, value in zip(keys, values, strict=True)]
        self.sent += len(batch)
        self.bytes += sum(map(len, filter(None, values)))
        if self._producer.produce_batch(topic, batch, on_delivery=self._on_delivery) < len(batch):
            for message in batch:
                if "_error" in message:
                    self.failures[str(message["_error"])] += 1
        self.poll()

    def poll(self, seconds: float = 0.0) -> None:
        """Serves acknowledgements for up to `seconds`."""
        self._producer.poll(seconds)
        if len(self._recent) > 10_000:
            self.count()

    def close(self) -> None:
        """Waits until every message is acknowledged or given up."""
        self._producer.flush(self.settings.timeout + 5)
        self.count()
        lost = self.sent - self.acked - self.failed
        if lost:
            self.failures[self._trouble or "no answer"] += lost

    def count(self) -> None:
        """Brings `acked` and `latency` up to date with the acknowledgements served."""
        self.acked += len(self._recent)
        self.latency.add(self._recent)
        self._recent.clear()

    def _listener(self) -> Callable[[KafkaError | None, Message], None]:
        """What is called for every message; it names no attribute where all goes well, to be quick."""
        record = self._recent.append

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                record(message.latency() or 0.0)
            else:
                self.failures[self._trouble or error.str()] += 1

        return delivered

    def _error(self, error: KafkaError) -> None:
        self._trouble = error.str()
        self._down = self._down or error.code() == KafkaError._ALL_BROKERS_DOWN

    def _check(self, topics: Iterable[str]) -> None:
        for topic in topics:
            error = self._metadata(topic).topics[topic].error
            if error is not None:
                raise ServiceError(f"topic {topic}: {error.str()}; create it with `tidemark topics apply`")
        self._trouble = ""

    def _metadata(self, topic: str) -> Any:
        """Gives up after a second when every connection is refused, else after five."""
        for _ in range(_PATIENCE):
            try:
                return self._producer.list_topics(topic, timeout=1)
            except KafkaException:
                self._producer.poll(0)
                if self._down:
                    break
        raise ServiceError(
            f"no broker answers at {self.settings.bootstrap}: start one with `tidemark services start`, "
            "or name yours with --bootstrap"
        ) from None
