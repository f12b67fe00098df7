"""What a task sends to Kafka: features as of an entity's last event, and quarantined messages.

At least once: everything is acknowledged before the task ends, and a batch that is run again sends
again. Receivers drop copies by (view, entity, batch) or (topic, partition, offset).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import islice, repeat, starmap
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streaming import failpoints, kafka
from streaming.errors import KafkaAway, ServiceError
from streaming.evaluation import Features
from streaming.kafka import Security
from streaming.merger import entities
from streaming.plan import Feature, Source, View
from streaming.source import reason

AT_ONCE = 5_000
"""Messages that are made before they are queued."""
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
            # A message that was taken needs no call of ours.
            "delivery.report.only.error": True,
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
        self._encode = msgspec.json.Encoder().encode

    def features(self, view: View, keys: list[bytes], newest: np.ndarray, features: Features) -> None:
        """Send the features of each entity."""
        columns = [_column(f, features.values[f.name], features.valid[f.name]) for f in view.features]
        rows = map(row_type(tuple(f.name for f in view.features)), *columns)
        made = zip(repeat(view.name), by_name(view, keys), stamps(newest), repeat(self.batch), rows)
        pairs = zip(keys, starmap(Update, made), strict=True)
        while held := [{"key": key, "value": self._encode(update)} for key, update in islice(pairs, AT_ONCE)]:
            self._sent = True
            queue(self._producer, self.updates, held, self._delivered, "send")

    def quarantine(self, source: Source, code: int, partition: int, offset: int, raw: bytes | None) -> None:
        """Send one message as it was, with the reason and its place as headers."""
        headers: dict[str, str | bytes | None] = {
            "reason": reason(source, code),
            "source": source.name,
            "topic": source.topic,
            "partition": str(partition),
            "offset": str(offset),
        }
        self._sent = True
        if failpoints.ARMED:
            failpoints.reach("send")
        key = f"{source.topic}/{partition}/{offset}".encode()
        while True:
            try:
                self._producer.produce(
                    self.dead_letters, raw, key, headers=headers, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(0.5)
            else:
                return

    def close(self) -> None:
        """Wait until everything is acknowledged."""
        if not self._sent:
            return
        waiting = self._producer.flush(90)
        if self._failed or waiting:
            # A producer that met a fatal error takes nothing any more.
            _producer.cache_clear()
            why = self._failed.str() if self._failed else f"{waiting} messages unacknowledged after 90 s"
            passing = self._failed is None or self._failed.code() in _PASSING
            raise (KafkaAway if passing else ServiceError)(
                f"Kafka at {self.bootstrap} did not take the lane's output ({why}): check the broker"
            )

    @property
    def _producer(self) -> Producer:
        return _producer(self.bootstrap, self.security)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failed = self._failed or error


def queue(
    producer: Producer, topic: str, held: list[dict[str, Any]], told: Callable[..., None], failpoint: str
) -> None:
    """Queue messages (`key`, `value`), all in one call: each call would wake the thread that sends. Waits while the
    queue is full. Raises KafkaException."""
    if failpoints.ARMED and len(held) > 1:
        for one in held:
            queue(producer, topic, [one], told, failpoint)
        return
    failpoints.reach(failpoint)
    while producer.produce_batch(topic, held, on_delivery=told) < len(held):
        held = [one for one in held if "_error" in one]
        for error in [one.pop("_error") for one in held]:
            if error.code() != KafkaError._QUEUE_FULL:
                raise KafkaException(error)
        producer.poll(0.1)


def by_name(view: View, keys: list[bytes]) -> list[dict[str, Any]]:
    """The values of a view's join keys by name, for each entity."""
    names = [name for name, _ in view.join_keys]
    held = entities(view, keys)
    if len(names) > 1:
        return [dict(zip(names, parts, strict=True)) for parts in held]
    return [
        {names[0]: value.decode(errors="replace") if isinstance(value, bytes) else value} for value in held
    ]


def stamps(millis: np.ndarray) -> list[str]:
    """Moments as text, ISO 8601 in UTC."""
    return np.datetime_as_string(millis.astype("M8[ms]"), unit="ms", timezone="UTC").tolist()


@lru_cache(maxsize=256)
def row_type(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """A struct of values in order, which is written with these names."""
    fields = [(f"f{i}", Any) for i in range(len(names))]
    return msgspec.defstruct("Row", fields, rename={f"f{i}": name for i, name in enumerate(names)})


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
