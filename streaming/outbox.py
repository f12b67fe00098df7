"""What a task sends to Kafka: features as of an entity's last event, and quarantined messages.

At least once: everything is acknowledged before the task ends, and a batch that is run again sends
again. Receivers drop copies by (view, entity, batch) or (topic, partition, offset).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from streaming import failpoints, kafka
from streaming.errors import KafkaAway, ServiceError
from streaming.evaluation import Features
from streaming.kafka import Security
from streaming.merger import entities
from streaming.plan import Feature, Source, View
from streaming.source import reason

_PASSING = {
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_ENOUGH_REPLICAS,
}


class Update(msgspec.Struct):
    """One message of the topic feature-updates; its key is the entity's key as text.

    `event_timestamp` is the entity's newest event (ISO 8601, UTC); `features` are the view's, null
    where undefined.
    """

    view: str
    entity: dict[str, Any]
    event_timestamp: str
    batch: int
    features: Any


@lru_cache(maxsize=8)
def _producer(bootstrap: str, security: Security) -> Producer:
    return Producer(
        {
            **kafka.client(bootstrap, held=security),
            "enable.idempotence": True,
            "linger.ms": 5,
            "batch.size": 262_144,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 200_000,
            "message.timeout.ms": 60_000,
            # What a topic takes is the broker's to say.
            "message.max.bytes": 100_000_000,
        }
    )


class Outbox:
    """Sends one task's messages; `close` returns when the broker has all of them.

    Raises KafkaAway when the broker did not take one in time, ServiceError when it never will;
    either fails the task and so repeats the batch.
    """

    def __init__(
        self, bootstrap: str, updates: str, dead_letters: str, batch: int, security: Security | None = None
    ) -> None:
        self.bootstrap = bootstrap
        self.security = security or Security()
        self.updates = updates
        self.dead_letters = dead_letters
        self.batch = batch
        self._failed: KafkaError | None = None
        self._sent = False
        self._encoder = msgspec.json.Encoder()

    def features(self, view: View, keys: list[bytes], newest: np.ndarray, features: Features) -> None:
        """Send the features of each entity."""
        producer = _producer(self.bootstrap, self.security)
        row = _row(view.features)
        columns = [_column(f, features.values[f.name], features.valid[f.name]) for f in view.features]
        stamps = np.datetime_as_string(newest.astype("datetime64[ms]"), unit="ms").tolist()
        names = [name for name, _ in view.join_keys]
        for key, entity, stamp, values in zip(
            keys, entities(view, keys), stamps, zip(*columns, strict=True), strict=True
        ):
            parts = (
                entity
                if isinstance(entity, tuple)
                else (entity.decode(errors="replace") if isinstance(entity, bytes) else entity,)
            )
            update = Update(
                view.name, dict(zip(names, parts, strict=True)), stamp + "Z", self.batch, row(*values)
            )
            self._send(producer, self.updates, self._encoder.encode(update), key)

    def quarantine(self, source: Source, code: int, partition: int, offset: int, raw: bytes | None) -> None:
        """Send one message as it was, with the reason and its place as headers."""
        headers: dict[str, str | bytes | None] = {
            "reason": reason(source, code),
            "source": source.name,
            "topic": source.topic,
            "partition": str(partition),
            "offset": str(offset),
        }
        key = f"{source.topic}/{partition}/{offset}".encode()
        self._send(_producer(self.bootstrap, self.security), self.dead_letters, raw, key, headers)

    def close(self) -> None:
        """Wait until everything is acknowledged."""
        if not self._sent:
            return
        waiting = _producer(self.bootstrap, self.security).flush(90)
        if self._failed or waiting:
            # A producer that met a fatal error takes nothing any more.
            _producer.cache_clear()
            why = self._failed.str() if self._failed else f"{waiting} messages unacknowledged after 90 s"
            passing = self._failed is None or self._failed.code() in _PASSING
            raise (KafkaAway if passing else ServiceError)(
                f"Kafka at {self.bootstrap} did not take the lane's output ({why}): check the broker"
            )

    def _send(
        self,
        producer: Producer,
        topic: str,
        value: bytes | None,
        key: bytes,
        headers: dict[str, str | bytes | None] | None = None,
    ) -> None:
        self._sent = True
        if failpoints.ARMED:
            failpoints.reach("send")
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, on_delivery=self._delivered)
            except BufferError:
                producer.poll(0.5)
            else:
                break

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failed = self._failed or error


@lru_cache(maxsize=256)
def _row(features: tuple[Feature, ...]) -> type[msgspec.Struct]:
    fields = [(f"f{i}", Any) for i in range(len(features))]
    rename = {f"f{i}": feature.name for i, feature in enumerate(features)}
    return msgspec.defstruct("Features", fields, rename=rename)


def _column(feature: Feature, values: np.ndarray, valid: np.ndarray) -> list[Any]:
    """A feature of all entities as JSON values: UTC text for timestamps, null where it is not valid."""
    if feature.dtype == "UNIX_TIMESTAMP":
        moments = np.where(valid, values, 0).astype("datetime64[us]")
        held = [text + "Z" for text in np.datetime_as_string(moments, unit="ms").tolist()]
    elif feature.dtype == "STRING":
        held = [v.decode(errors="replace") if v is not None else None for v in values.tolist()]
    else:
        held = (np.asarray(values) != 0).tolist() if feature.dtype == "BOOL" else values.tolist()
    if valid.all():
        return held
    return [value if ok else None for value, ok in zip(held, valid.tolist(), strict=True)]
