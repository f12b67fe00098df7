"""A Feast repo with its topics and its Redis, and a memory of everything that was sent to it."""

from __future__ import annotations

import contextlib
import json
import runpy
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from feast import Entity, FeatureStore, FeatureView
from pyspark.sql import SparkSession

from streaming import definitions
from streaming.checkpoint import Checkpoint
from streaming.errors import TidemarkError
from streaming.lanes.online import OnlineLane
from streaming.plan import Plan
from streaming.settings import LaneSettings

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Message:
    """One Kafka message as it was stored."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset


def send(kafka: str, messages: Iterable[tuple[str, int, bytes | None]]) -> list[Message]:
    """Send (topic, partition, value) in order; where each of them is now."""
    stored: list[Message] = []

    def delivered(error: Any, message: Any) -> None:
        assert error is None, error
        stored.append(Message(message.topic(), message.partition(), message.offset(), message.value()))

    settings = {"bootstrap.servers": kafka, "linger.ms": 5, "enable.idempotence": True}
    producer = Producer({**settings, "message.max.bytes": 2_000_000})
    count = 0
    for topic, partition, value in messages:
        producer.produce(topic, value, partition=partition, on_delivery=delivered)
        producer.poll(0)
        count += 1
    assert producer.flush(60) == 0
    assert len(stored) == count
    return stored


def read_topic(kafka: str, topic: str) -> list[Message]:
    """Everything a topic holds, by partition and offset."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": uuid.uuid4().hex, "enable.auto.commit": False}
    )
    try:
        partitions = [
            TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, 15).topics[topic].partitions
        ]
        ends = {p.partition: consumer.get_watermark_offsets(p, timeout=15)[1] for p in partitions}
        consumer.assign(partitions)
        found: list[Message] = []
        while len(found) < sum(ends.values()):
            message = consumer.poll(15)
            assert message is not None, f"{topic} fell silent"
            assert message.error() is None, message.error()
            headers = {name: value.decode() for name, value in message.headers() or []}
            place = message.topic(), message.partition(), message.offset()
            found.append(Message(*place, message.value(), message.key(), headers))
    finally:
        consumer.close()
    return sorted(found, key=lambda m: m.place)


@dataclass
class World:
    """`repo` is an applied copy of one of the repos beside this file; `given` goes to its topics.json."""

    repo: Path
    kafka: str
    redis: str
    given: dict[str, Any]
    updates: str
    dead: str
    definitions: str = "shop_definitions.py"
    store_options: dict[str, Any] = field(default_factory=dict)
    sent: list[tuple[Message, Any]] = field(default_factory=list)
    now: int = 0
    _plans: dict[Any, Plan] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        directory: Path,
        kafka: str,
        redis: str,
        topic: Callable[..., str],
        *,
        partitions: int = 3,
        **given: Any,
    ) -> World:
        """A repo of the shop in `directory`, with topics of its own."""
        shutil.copytree(HERE / "orders_repo", directory, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
        topics = {"orders": topic(partitions, "orders"), "visits": topic(1, "visits"), "kafka": kafka}
        world = cls(directory, kafka, redis, topics | given, topic(2, "updates"), topic(1, "dead"))
        world.apply()
        return world

    def apply(self, **given: Any) -> None:
        """Write feature_store.yaml and topics.json (with `given` changed) and register the definitions."""
        self.given |= given
        self._plans.clear()
        (self.repo / "topics.json").write_text(json.dumps(self.given))
        for name, edge in (("feature_store.yaml", "wall_clock"), ("latest.yaml", "latest_event")):
            options = {"connection_string": self.redis, "leading_edge": edge, **self.store_options}
            lines = "".join(f"    {key}: {value}\n" for key, value in options.items())
            (self.repo / name).write_text(
                f"project: {self.project}\nregistry: {self.repo}/registry.db\nprovider: local\n"
                "entity_key_serialization_version: 3\noffline_store:\n    type: file\n"
                f"online_store:\n    type: serving.online_store.TiledRedisOnlineStore\n{lines}"
            )
        named = runpy.run_path(str(self.repo / self.definitions))
        objects = [held for held in named.values() if isinstance(held, Entity | FeatureView)]
        FeatureStore(repo_path=str(self.repo)).apply(objects)

    @property
    def project(self) -> str:
        return self.repo.name

    @property
    def checkpoint(self) -> Path:
        return self.repo.parent / f"{self.repo.name}-checkpoint"

    def send(self, messages: Iterable[tuple[str, int, bytes | None, Any]]) -> None:
        """Send (topic's name in topics.json, partition, value, what the test knows of it), in order."""
        listed = list(messages)
        stored = send(self.kafka, ((self.given[topic], p, value) for topic, p, value, _ in listed))
        known: dict[tuple[str, int], list[Any]] = {}
        for topic, partition, _, about in listed:
            known.setdefault((self.given[topic], partition), []).append(about)
        for message in sorted(stored, key=lambda m: m.place):
            self.sent.append((message, known[message.topic, message.partition].pop(0)))

    def settings(self, **options: Any) -> LaneSettings:
        return LaneSettings(updates_topic=self.updates, dead_letter_topic=self.dead, **options)

    def plan(self, spark: SparkSession, views: Sequence[str] | None = None) -> Plan:
        known = tuple(views) if views else None
        if known not in self._plans:
            self._plans[known] = definitions.load(self.repo, views, spark)
        return self._plans[known]

    def lane(
        self,
        spark: SparkSession,
        views: Sequence[str] | None = None,
        checkpoint: Path | None = None,
        on_batch: Callable[[dict[str, Any]], None] | None = None,
        **options: Any,
    ) -> OnlineLane:
        held = Checkpoint(str(checkpoint or self.checkpoint))
        return OnlineLane(self.plan(spark, views), held, self.settings(**options), spark, on_batch)

    def run(self, spark: SparkSession, *, starting: str = "earliest", **options: Any) -> list[dict[str, Any]]:
        """Run the lane until it has caught up; its reports."""
        lines: list[dict[str, Any]] = []
        self.lane(spark, on_batch=lines.append, **options).run(
            starting_offsets=starting, until_caught_up=True
        )
        return lines

    def store(self, edge: str = "wall_clock") -> FeatureStore:
        """The repo as a reader opens it; the clock of `wall_clock` shows `self.now` (ms)."""
        name = "latest.yaml" if edge == "latest_event" else "feature_store.yaml"
        store = FeatureStore(fs_yaml_file=self.repo / name)
        store._get_provider().online_store.clock = lambda: self.now
        return store

    def updated(self) -> list[dict[str, Any]]:
        """Every message of the topic feature-updates, in order by partition."""
        return [json.loads(message.value or b"") for message in read_topic(self.kafka, self.updates)]


@contextlib.contextmanager
def running(lane: OnlineLane, starting: str = "earliest") -> Iterator[list[TidemarkError]]:
    """The lane in a thread; yields what it raised. At the end it has stopped as on SIGTERM."""
    raised: list[TidemarkError] = []

    def work() -> None:
        try:
            lane.run(starting_offsets=starting)
        except TidemarkError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield raised
    finally:
        lane.stop()
        thread.join(120)
        assert not thread.is_alive()


def iso(millis: int) -> str:
    return (
        datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
