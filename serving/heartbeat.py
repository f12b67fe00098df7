"""Freshness where a model reads: events of an entity of its own go the whole way, and are asked for by Feast.

A heartbeat is a copy of the newest event of a source that is like the others, with a new id, the time of now, and
the heartbeat's entity in place of every key. So it passes whatever the other events pass, it counts for no other entity,
and its entity's name tells it apart in tables and topics.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from serving.lookup import lookup
from streaming import kafka, metrics
from streaming.errors import DefinitionError, KafkaAway, ServiceError
from streaming.plan import Plan, Source, View

ENTITY = "tidemark-heartbeat"
NUMBER = -1
"""Stands for the entity where a key is a number."""
GLANCE = 0.02
SECONDS = 15

log = structlog.get_logger("tidemark.heartbeat")


@dataclass(frozen=True)
class Pulse:
    """What a source's heartbeat is made of: an event's fields, and which of them are keys of which view."""

    source: Source
    template: dict[str, Any]
    views: tuple[View, ...]
    keys: tuple[str, ...]

    def event(self, now: float) -> dict[str, Any]:
        """The fields of a heartbeat at `now` (seconds)."""
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {**self.template, self.source.timestamp_field: moment}
        for key in self.keys:
            event[key] = entity(self.template[key])
        if self.source.event_id:
            event[self.source.event_id] = str(uuid.uuid4())
        return event


def entity(value: Any) -> Any:
    """The heartbeat's entity in place of a key's `value`."""
    return NUMBER if isinstance(value, int) else ENTITY


@dataclass
class Heartbeat:
    """Sends and awaits heartbeats of every source of a plan that has events to copy."""

    plan: Plan
    store: Any
    timeout: float = 30.0
    clock: Callable[[], float] = time.time
    _pulses: dict[str, Pulse] = field(default_factory=dict, init=False)

    def beat(self) -> dict[str, float]:
        """One heartbeat of each source; seconds until each view showed it. A view that did not in time is counted as lost.

        Raises KafkaAway, ServiceError when the broker or Redis is away.
        """
        waiting: dict[str, tuple[View, float]] = {}
        for source in self.plan.sources:
            pulse = self._pulse(source)
            if pulse is not None:
                sent = self._send(pulse)
                waiting |= {view.name: (view, sent) for view in pulse.views}
        return self._await(waiting)

    def _await(self, waiting: dict[str, tuple[View, float]]) -> dict[str, float]:
        found: dict[str, float] = {}
        deadline = self.clock() + self.timeout
        while waiting and self.clock() < deadline:
            for name, (view, sent) in list(waiting.items()):
                # An event's time is in milliseconds.
                if (self.newest(view) or 0) >= int(sent * 1000):
                    found[name] = self.clock() - sent
                    metrics.HEARTBEAT.labels(name).observe(found[name])
                    del waiting[name]
            time.sleep(GLANCE)
        for name in waiting:
            metrics.HEARTBEATS_LOST.labels(name).inc()
        return found

    def newest(self, view: View) -> int | None:
        """Time (ms) of the newest heartbeat that Feast shows in a view."""
        pulse = self._pulses[view.source]
        columns = dict(_key_columns(view))
        keys = {name: [str(entity(pulse.template[columns[name]]))] for name, _ in view.join_keys}
        first = view.features[0].name
        (answer,) = lookup(self.store, [f"{view.name}:{first}"], keys)
        found = answer.features[f"{view.name}__{first}"].newest_event
        return round(found.timestamp() * 1000) if found else None

    def _pulse(self, source: Source) -> Pulse | None:
        if source.name not in self._pulses:
            template = _newest(source)
            if template is None:
                return None
            views = tuple(
                v for v in self.plan.of_source(source.name) if dict(_key_columns(v)).keys() == _names(v)
            )
            keys = sorted({column for view in views for _, column in _key_columns(view)})
            if any(template.get(key) is None for key in keys):
                return None
            self._pulses[source.name] = Pulse(source, template, views, tuple(keys))
        return self._pulses[source.name]

    def _send(self, pulse: Pulse) -> float:
        failed: list[str] = []
        producer = Producer(kafka.client(pulse.source.bootstrap_servers, {"partitioner": "murmur2_random"}))
        now = self.clock()
        event = pulse.event(now)
        key = str(event[pulse.keys[0]]).encode() if pulse.keys else None
        producer.produce(
            pulse.source.topic,
            msgspec.json.encode(event),
            key,
            on_delivery=lambda error, _: failed.append(error.str()) if error else None,
        )
        if producer.flush(SECONDS) or failed:
            raise KafkaAway(
                f"Kafka at {pulse.source.bootstrap_servers} did not take a heartbeat ({', '.join(failed) or 'no answer'}): "
                "check the broker"
            )
        return now


def _names(view: View) -> set[str]:
    return {name for name, _ in view.join_keys}


def _key_columns(view: View) -> Sequence[tuple[str, str]]:
    """Join keys that are a column of the message as it is, with that column."""
    plain = [(name, re.fullmatch(r"source_\d+\.`([^`]+)`", sql)) for name, sql in view.keys]
    return [(name, match[1]) for name, match in plain if match]


def _newest(source: Source) -> dict[str, Any] | None:
    """The newest message of a source's topic that has every column that must be there; None when there is none."""
    if source.format != "json":
        raise DefinitionError(f"source {source.name} is not JSON: heartbeats can copy JSON events alone")
    consumer = Consumer(kafka.client(source.bootstrap_servers, {"group.id": "tidemark-heartbeat"}))
    try:
        topic = consumer.list_topics(source.topic, timeout=SECONDS).topics[source.topic]
        if topic.error:
            raise ServiceError(
                f"topic {source.topic} does not exist: run `tidemark topics apply`, or create it"
            )
        for number in topic.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(source.topic, number), timeout=SECONDS)
            if low < high:
                consumer.assign([TopicPartition(source.topic, number, max(low, high - 100))])
                found = [_whole(source, m) for m in consumer.consume(100, timeout=2) if not m.error()]
                if good := [event for event in found if event]:
                    return good[-1]
    except KafkaException as error:
        raise KafkaAway(f"Kafka at {source.bootstrap_servers} does not answer: start it") from error
    finally:
        consumer.close()
    return None


def _whole(source: Source, message: Any) -> dict[str, Any] | None:
    try:
        event = msgspec.json.decode(message.value() or b"")
    except msgspec.DecodeError:
        return None
    if not isinstance(event, dict):
        return None
    needed = {*source.required, source.timestamp_field, *([source.event_id] if source.event_id else [])}
    return event if all(event.get(name) is not None for name in needed) else None
