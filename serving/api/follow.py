"""Follows the topics from near their ends: events, features, scores and alerts, as they come.

Nothing is committed: every process of the API reads everything, and what it holds is gone with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from serving.api import metrics
from serving.api.feed import Alert, Feed
from serving.api.recent import Place, Recent, Record
from streaming import kafka
from streaming.errors import KafkaAway
from streaming.plan import Plan

logger = logging.getLogger(__name__)

BATCH = 1_000
SLICE = 20
"""Messages that are filed between two steps of the event loop: 0.2 ms."""
PAUSE, LONGEST = 0.5, 15.0
"""Seconds before a broker that was away is asked again, at first and at most."""
EVENT, UPDATE, SCORE = "event", "update", "score"
"""Kinds of messages, before the colon of a place's name."""


def place(kind: str, key: str, value: object, view: str = "") -> Place:
    """Where messages of a kind are filed for the entity whose join key `key` is `value`; updates by view."""
    return f"{kind}:{view or key}", str(value)


class _Update(msgspec.Struct):
    view: str
    entity: dict[str, Any]


class _Score(msgspec.Struct):
    entity: dict[str, Any]


Filing = Callable[[bytes], Sequence[Place]]
"""The places of a message. Raises msgspec.DecodeError for one that is no object of its kind."""


class Follower:
    """A thread that reads `plan`'s topics and those of its features, scores and alerts, for an event loop to file.

    If the thread filed them, every request would wait for the interpreter's lock at each of its system calls.
    `back` is how many messages of each topic are read from before the start; `types` maps scoring services to
    the entity types of their alerts. `clock` is monotonic.
    """

    def __init__(
        self,
        plan: Plan,
        recent: Recent,
        alerts: Feed,
        topics: Mapping[str, str],
        back: int,
        types: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recent, self._alerts, self._back, self._clock = recent, alerts, back, clock
        self._bootstrap = plan.sources[0].bootstrap_servers if plan.sources else ""
        self._alerts_topic, self._types = topics["alerts"], types or {}
        self._filing: dict[str, Filing] = {
            topics["updates"]: _update,
            topics["scores"]: _score,
            topics["alerts"]: lambda _: (),
        }
        for source in plan.sources:
            if source.format == "json":
                keys = {name for view in plan.of_source(source.name) for name, _ in view.join_keys}
                self._filing[source.topic] = _event(sorted(keys))
        self._heard: float | None = None
        self._trouble = "it has not answered yet"
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin; messages are filed by the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, 10)

    def trouble(self) -> str:
        """Why Kafka is not followed now, in one line; empty when it is."""
        if self._heard is not None and self._clock() - self._heard < LONGEST:
            return ""
        return f"Kafka at {self._bootstrap} does not answer: {self._trouble}"

    def _run(self) -> None:
        pause = PAUSE
        while not self._stopping.is_set():
            try:
                self._follow()
                pause = PAUSE
            except (KafkaException, KafkaAway) as error:
                self._trouble = " ".join(str(error).split())[:200]
                logger.warning("following paused: %s", self._trouble)
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST)

    def _follow(self) -> None:
        """Read until told to stop. Raises KafkaException when the broker goes away, or topics changed."""
        more = {
            "group.id": "tidemark-api",
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 100,
            "log_level": 0,
        }
        consumer = Consumer(kafka.client(self._bootstrap, more))
        try:
            known = self._assign(consumer)
            self._heard = checked = self._clock()
            while not self._stopping.is_set():
                messages = consumer.consume(BATCH, 0.2)
                asyncio.run_coroutine_threadsafe(self._file(messages), self._loop).result()
                now = self._clock()
                if now - checked > LONGEST / 3:
                    # An idle topic and a lost broker look alike to consume.
                    if self._places(consumer) != known:
                        return
                    self._heard = checked = now
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> list[tuple[str, int]]:
        found = self._places(consumer)
        counts: dict[str, int] = {}
        for topic, _ in found:
            counts[topic] = counts.get(topic, 0) + 1
        starts = []
        for topic, partition in found:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            starts.append(TopicPartition(topic, partition, max(low, high - self._back // counts[topic])))
        consumer.assign(starts)
        return found

    def _places(self, consumer: Consumer) -> list[tuple[str, int]]:
        """Partitions of those topics that exist."""
        held = consumer.list_topics(timeout=10).topics
        return sorted((topic, p) for topic in self._filing if topic in held for p in held[topic].partitions)

    async def _file(self, messages: Sequence[Message]) -> None:
        for first in range(0, len(messages), SLICE):
            self.take(messages[first : first + SLICE])
            await asyncio.sleep(0)

    def take(self, messages: Sequence[Message]) -> None:
        """File messages. Those that are no objects are counted. Raises KafkaException for a broker's error."""
        records, counts = [], dict[str, int]()
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    continue
                raise KafkaException(error)
            # Only messages that were not sent yet lack a place.
            topic, partition, offset = cast(
                tuple[str, int, int], (message.topic(), message.partition(), message.offset())
            )
            value = message.value()
            counts[topic] = counts.get(topic, 0) + 1
            if value is None:
                continue
            try:
                places = self._filing[topic](value)
                if topic == self._alerts_topic:
                    self._alerts.add(self._alert(f"{topic}/{partition}/{offset}", value))
            except (msgspec.DecodeError, UnicodeDecodeError):
                metrics.UNREADABLE.labels(topic).inc()
                continue
            stamp = message.timestamp()[1]
            records.append(Record(topic, partition, offset, stamp, value, places))
        for topic, count in counts.items():
            metrics.FOLLOWED.labels(topic).inc(count)
        self._recent.add(records)

    def _alert(self, where: str, value: bytes) -> Alert:
        body = msgspec.json.decode(value, type=dict[str, Any])
        details = body.get("details")
        service = details.get("service") if isinstance(details, dict) else None
        # Written anew: between line breaks of its own, an event stream would lose it.
        return Alert(where, self._types.get(str(service)), msgspec.Raw(msgspec.json.encode(body)))


def _event(keys: Sequence[str]) -> Filing:
    """Of an event: under each join key that it has as a field."""
    fields = [(f"k{i}", Any, None) for i in range(len(keys))]
    names = {f"k{i}": key for i, key in enumerate(keys)}
    held = msgspec.defstruct("Event", fields, rename=names)
    decoder = msgspec.json.Decoder(held)

    def places(value: bytes) -> Sequence[Place]:
        row = msgspec.structs.astuple(decoder.decode(value))
        return [place(EVENT, key, v) for key, v in zip(keys, row, strict=True) if type(v) in (str, int)]

    return places


_updates = msgspec.json.Decoder(_Update)


def _update(value: bytes) -> Sequence[Place]:
    """Of a view with one join key."""
    update = _updates.decode(value)
    if len(update.entity) != 1:
        return ()
    ((key, held),) = update.entity.items()
    return (place(UPDATE, key, held, update.view),)


_scores = msgspec.json.Decoder(_Score)


def _score(value: bytes) -> Sequence[Place]:
    """Of each key of the entity."""
    return [place(SCORE, key, held) for key, held in _scores.decode(value).entity.items()]
