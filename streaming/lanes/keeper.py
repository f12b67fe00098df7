"""What keeps the rings true: one writer, known layouts, and a Redis that has lost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streaming.checkpoint import Checkpoint, Entry
from streaming.errors import FencedError, LostWritesError, ServiceError
from streaming.plan import Feature, Plan, Source
from streaming.redis import meta
from streaming.redis.bulk import Bulk
from streaming.redis.lease import Lease
from streaming.redis.markers import Markers
from streaming.redis.shards import refuse_eviction
from streaming.redis.target import RedisTarget
from streaming.ring import Schemas
from streaming.settings import LaneSettings

BEGINNING = 0
"""`complete_since` of a feature whose stream was read from its first message."""


class Keeper:
    """Holds the lane's lease and markers, and records what readers must know about each view."""

    def __init__(
        self, plan: Plan, checkpoint: Checkpoint, settings: LaneSettings, clock: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.checkpoint = checkpoint
        self.settings = settings
        self.clock = clock
        self.target = RedisTarget(plan.redis, plan.redis_cluster)
        self.schemas: tuple[Schemas, ...] = ()
        self.lease: Lease | None = None

    @property
    def epoch(self) -> int:
        """Epoch of the lease in force."""
        return self.lease.epoch if self.lease else 0

    @contextmanager
    def hold(self, starting_offsets: str) -> Iterator[None]:
        """Own the views' rings for the time of the context.

        Raises FencedError when another lane does, ServiceError when Redis may evict or is away.
        """
        name = f"online-{self.checkpoint.identity:016x}"
        with Bulk(self.target) as bulk:
            refuse_eviction(bulk)
            with Lease(self.target, self.plan.project, name, self.settings.lease_seconds) as self.lease:
                self._claim(bulk, starting_offsets)
                self._bulk = bulk
                self._markers = Markers(bulk, self.plan.project, name, self.checkpoint.identity)
                yield

    def _claim(self, bulk: Bulk, starting_offsets: str) -> None:
        schemas = []
        for view in self.plan.views:
            held = meta.load(bulk, view.project, view.stored_name)
            mine = self.checkpoint.identity
            if held.identity not in (None, mine) or (
                held.identity is None and not meta.claim(bulk, view, mine, None)
            ):
                raise FencedError(
                    f"the rings of view {view.name} belong to another checkpoint: start the lane on that checkpoint, "
                    f"or run `tidemark stream reset --views {view.name}` to start over"
                )
            source = next(s for s in self.plan.sources if s.name == view.source)
            since = {f.name: self._since(f, held, source, starting_offsets) for f in view.features}
            meta.save(bulk, view, {name: time for name, time in since.items() if time is not None})
            schemas.append({**held.layouts, view.schema_id: (view.distinct_k, view.slots)})
        self.schemas = tuple(schemas)

    def _since(self, feature: Feature, held: meta.ViewMeta, source: Source, starting: str) -> int | None:
        """From when on the feature's tiles will be whole, None when that is already recorded."""
        if held.features.get(feature.name) == feature:
            return None
        now = int(self.clock() * 1000) + source.max_future_skew
        alike = [
            f for f in held.features.values() if (f.function, f.column) == (feature.function, feature.column)
        ]
        if alike:
            longest = max(alike, key=lambda f: f.window.length)
            lost = now - longest.window.length + longest.window.slide
            if feature.window.length <= longest.window.length:
                lost = 0
            return max(held.complete_since[longest.name], lost)
        if held.features or self.checkpoint.last_committed() >= 0:
            return now
        return now if starting == "latest" else log_begins(source, now)

    def begin(self, entry: Entry) -> list[Entry]:
        """Check that Redis holds every batch before this one; returns those to be replayed first.

        Raises LostWritesError when what is missing cannot be replayed, FencedError without a lease.
        """
        if self.lease is not None:
            self.lease.check()
        outcome = self._markers.check(entry.batch, self._digest)
        if outcome.whole:
            return []
        if outcome.kind != "gap" or outcome.since is None:
            raise LostWritesError(
                f"{outcome.detail}: run `tidemark stream reset` and start the lane on a new checkpoint"
            )
        entries = [self.checkpoint.entry(n) for n in range(outcome.since + 1, entry.batch)]
        if not all(entries):
            raise LostWritesError(
                f"{outcome.detail}, and the ledger in {self.checkpoint.location} does not know them: "
                "run `tidemark stream reset` and start the lane on a new checkpoint"
            )
        return [found for found in entries if found is not None]

    def _digest(self, batch: int) -> str | None:
        found = self.checkpoint.entry(batch)
        return found.digest if found else None

    def end(self, entry: Entry) -> None:
        """Mark the batch whole in every shard, after its last task. Raises RedisAway, FencedError."""
        if self.lease is not None:
            self.lease.check()
        self._markers.write(entry.batch, entry.digest)

    @property
    def lost(self) -> bool:
        """Whether another lane may be writing by now."""
        return self.lease is not None and self.lease.lost


def log_begins(source: Source, now: int) -> int:
    """Event time (ms) from which on the topic holds every event: BEGINNING unless its start was deleted.

    `now` (ms) is the answer for a partition whose messages are all deleted.
    Raises ServiceError when the broker does not answer or the topic does not exist.
    """
    settings: dict[str, Any] = {
        "bootstrap.servers": source.bootstrap_servers,
        "group.id": "tidemark-probe",
        "enable.auto.commit": False,
    }
    consumer = Consumer(settings)
    try:
        topic = consumer.list_topics(source.topic, timeout=15).topics[source.topic]
        if topic.error or not topic.partitions:
            raise ServiceError(
                f"topic {source.topic} does not exist: run `tidemark topics apply`, or create it"
            )
        return max(_first(consumer, TopicPartition(source.topic, p), source, now) for p in topic.partitions)
    except KafkaException as error:
        reason = error.args[0].str() if error.args else error
        raise ServiceError(
            f"Kafka at {source.bootstrap_servers} does not answer ({reason}): start it"
        ) from error
    finally:
        consumer.close()


def _first(consumer: Consumer, partition: TopicPartition, source: Source, now: int) -> int:
    low, high = consumer.get_watermark_offsets(partition, timeout=15)
    if low == 0:
        return BEGINNING
    if low == high:
        return now
    consumer.assign([TopicPartition(partition.topic, partition.partition, low)])
    message = consumer.poll(15)
    if message is None or message.error():
        raise ServiceError(f"topic {source.topic} cannot be read at its beginning: check the broker's log")
    return message.timestamp()[1] + source.max_future_skew
