"""The scoring lane: Kafka -> prepared events -> scores, alerts and served features, a few milliseconds later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as Raw

from serving.scoring.ahead import Ahead
from serving.scoring.alerts import Alarms
from serving.scoring.duplicates import Duplicates
from serving.scoring.models import Models
from serving.scoring.outbox import Outbox
from serving.scoring.partitions import Start, Starts
from serving.scoring.report import Report
from serving.scoring.scorer import Scored, Scorer, Work
from serving.scoring.settings import ScoringSettings
from streaming import failpoints, garbage, kafka, metrics
from streaming.errors import KafkaAway, TidemarkError
from streaming.expressions import Message
from streaming.lanes import failures, topics
from streaming.plan import Plan
from streaming.prepare import Prepared, Preparer
from streaming.redis.connection import RedisAway

log = structlog.get_logger("tidemark.scores")

COMMIT = 0.1
"""Least time (s) between two commits: what lies between is sent again after a crash, under the same ids."""
AHEAD = 3
"""Full batches that are read ahead of scoring, at most."""
READ = 1_000_000
"""What the client gives at once, at most."""


class ScoringLane:
    """One process of the group. `on_line` receives a report a second; `clock` is the time in seconds."""

    def __init__(
        self,
        plan: Plan,
        preparer: Preparer,
        scorer: Scorer,
        settings: ScoringSettings,
        models: Models | None = None,
        on_line: Callable[[dict[str, Any]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.plan, self.preparer, self.scorer, self.settings = plan, preparer, scorer, settings
        self.models = models or Models({}, clock)
        self.clock = clock
        self.bootstrap = settings.kafka or plan.sources[0].bootstrap_servers
        self._sources = {s.topic: i for i, s in enumerate(plan.sources) if s.name in scorer.services}
        self._on_line = on_line
        self._stopping = threading.Event()
        self._progressed = False

    def run(self, *, starting_offsets: str = "latest", until_caught_up: bool = False) -> None:
        """Work until stopped, or until what Kafka held at the start is scored.

        Goes on by itself, with growing pauses, while Redis or Kafka is away. Raises TidemarkError for what a
        person must resolve.
        """
        attempt = 0
        while not self._stopping.is_set():
            self._progressed = False
            try:
                wanted = {self.settings.scores_topic, self.settings.alerts_topic, *self._sources}
                topics.require(
                    self.bootstrap, wanted | ({self.settings.updates_topic} if self._logs else set())
                )
                self._run_once(starting_offsets, until_caught_up)
            except (KafkaException, TidemarkError) as error:
                cause = error if isinstance(error, TidemarkError) else _away(self.bootstrap, error.args[0])
                attempt = 1 if self._progressed else attempt + 1
                if not failures.passing(cause, attempt):
                    raise cause from error
            else:
                return
            pause = min(self.settings.backoff_seconds, 0.5 * 2 ** min(attempt, 16))
            metrics.RESTARTS.labels(type(cause).__name__).inc()
            log.warning("restarting", cause=str(cause), in_seconds=pause, attempt=attempt)
            self._stopping.wait(pause)

    def stop(self) -> None:
        """Let what was read be scored and delivered, then return from `run`. For signal handlers too."""
        self._stopping.set()

    @property
    def _logs(self) -> bool:
        return self.settings.updates and self.settings.scoring_log > 0

    def _run_once(self, starting: str, until_caught_up: bool) -> None:
        self.scorer.forget()
        self._duplicates, self._alarms = Duplicates(), Alarms(int(self.settings.scoring_alert_pause * 1000))
        self._starts: dict[tuple[str, int], Start] = {}
        self._goals: dict[tuple[str, int], int] = {}
        self._delivered: dict[tuple[str, int], tuple[int, int]] = {}
        self._watermarks: dict[int, int] = {}
        self._committed = 0.0
        self._report = Report(self.plan, self.scorer, self.clock, self._on_line)
        self._consumer = self._subscribe()
        self._finder = Starts(self._consumer, starting, self._horizon, lambda: int(self.clock() * 1000))
        producer = Producer(kafka.client(self.bootstrap, PRODUCER))
        self._outbox = Outbox(
            producer, self.settings.scores_topic, self.settings.alerts_topic, self.settings.updates_topic
        )
        log.info("starting", group=self.settings.scoring_group, services=sorted(self.scorer.services))
        self._ahead = Ahead(self.preparer.prepare, self.settings.scoring_batch)
        self._broken = False
        try:
            self._consumer.subscribe(
                sorted(self._sources), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            while not self._stopping.is_set() and not (until_caught_up and self._caught_up()):
                self._round()
            self._settle()
        except BaseException:
            # What was not delivered is scored again from the committed offsets.
            self._broken = True
            producer.purge()
            raise
        finally:
            self._ahead.close()
            self._consumer.close()

    @property
    def _horizon(self) -> int:
        if self.settings.scoring_reread is not None:
            return int(self.settings.scoring_reread * 1000)
        return max((s.watermark_delay for s in self.plan.sources if s.event_id and s.deduplicate), default=0)

    def _subscribe(self) -> Consumer:
        own = {"group.id": self.settings.scoring_group, "auto.offset.reset": "error"}
        return Consumer(kafka.client(self.bootstrap, {**CONSUMER, **own}))

    def _read(self, wait: float, most: int) -> list[Message]:
        """What has come, at most so many; waits for so many seconds when there is nothing."""
        first = self._consumer.consume(1, wait)
        raw = first + self._consumer.consume(most - 1, 0) if first else first
        return [self._message(one) for one in raw]

    def _message(self, raw: Raw) -> Message:
        error = raw.error()
        if error is not None:
            raise _away(self.bootstrap, error)
        return Message(raw.topic(), raw.partition(), raw.offset(), raw.timestamp()[1], raw.value())  # type: ignore[arg-type]

    def _round(self) -> None:
        room = min(AHEAD * self.settings.scoring_batch - self._ahead.waiting, READ)
        if room > 0:
            wait = 0.0 if len(self._ahead) else 0.02 if self._outbox.waiting else 0.2
            self._ahead.add(self._read(wait, room), self._starts)
        if len(self._ahead):
            self._next()
        self._outbox.poll()
        if self._delivered and self.clock() - self._committed >= COMMIT:
            self._commit(wait=False)
        if self._report.due:
            self._report.say(self._lag())
            garbage.spare()

    def _next(self) -> None:
        messages, prepared = self._ahead.take(self._starts)
        if messages:
            self._batch(messages, prepared)

    def _batch(self, messages: list[Message], prepared: Prepared) -> None:
        """Score messages and hand their scores to the outbox."""
        admitted = np.flatnonzero((prepared.code == 0) & (prepared.source >= 0))
        copies = self._duplicates.among(prepared, admitted)
        rows = admitted[~copies]
        send = self._sends(prepared, rows)
        self.scorer.remember(prepared, rows[~send])
        rows = rows[send]
        work = self._patiently(lambda: self.scorer.fetch(prepared, rows)) if len(rows) else []
        ends = {(m.topic, m.partition): (m.offset + 1, m.timestamp) for m in messages}
        self._outbox.begin(partial(self._done, ends, prepared.arrived[rows]))
        for scored in self.scorer.each(prepared, work):
            self._send(prepared, scored)
        self._outbox.end()
        self._late(prepared, rows)
        self._report.count(prepared, admitted, copies, send)

    def _sends(self, prepared: Prepared, rows: np.ndarray) -> np.ndarray:
        """Which messages are scored for the first time by this group."""
        result = np.ones(len(rows), bool)
        source, part = prepared.source[rows], prepared.part[rows]
        for (topic, partition), start in self._starts.items():
            if start.read < start.send:
                mine = (source == self._sources[topic]) & (part == partition)
                result &= ~mine | (prepared.offset[rows] >= start.send)
        return result

    def _send(self, prepared: Prepared, scored: Scored) -> None:
        arrived = prepared.arrived[scored.rows]
        said = self.models.of(prepared, scored)
        self._outbox.score(prepared, scored, said, int(self.clock() * 1000))
        raised, left_out = self._alarms.of(scored, arrived)
        self._outbox.alert(prepared, scored, raised)
        if self._logs:
            which = self._logged(prepared, scored)
            for view in scored.service.keyed:
                self._outbox.log(prepared, scored, scored.views[view], which)
        self._report.scored(scored, len(raised), left_out)

    def _logged(self, prepared: Prepared, scored: Scored) -> np.ndarray:
        """The share of exact scores whose features are logged, chosen by event id."""
        share = self.settings.scoring_log
        if share >= 1:
            return scored.exact
        return scored.exact & (prepared.identity[scored.rows, 0] < np.uint64(int(share * (2**64 - 1))))

    def _late(self, prepared: Prepared, rows: np.ndarray) -> None:
        for number, source in enumerate(self.plan.sources):
            time = prepared.time[rows[prepared.source[rows] == number]]
            if len(time):
                watermark = self._watermarks.get(number, -(2**62))
                self._report.late(source.name, int((time < watermark).sum()))
                self._watermarks[number] = max(watermark, int(time.max()) - source.watermark_delay)

    def _patiently(self, work: Callable[[], list[Work]]) -> list[Work]:
        """What is asked of Redis, however long Redis is away: nothing else is read meanwhile, and nothing is skipped.

        Raises RedisAway when the lane is told to stop before Redis is back.
        """
        attempt = 0
        while True:
            try:
                return work()
            except RedisAway as error:
                if self._stopping.is_set():
                    raise
                attempt += 1
                pause = min(self.settings.backoff_seconds, 0.1 * 2 ** min(attempt, 16))
                if attempt in (1, 5) or not attempt % 20:
                    log.warning("waiting for Redis", cause=str(error), in_seconds=pause, attempt=attempt)
                self._wait(pause)

    def _wait(self, seconds: float) -> None:
        """Stay a member of the group without reading."""
        self._consumer.pause(self._consumer.assignment())
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopping.is_set():
            raw = self._consumer.poll(min(0.2, max(until - time.monotonic(), 0.01)))
            if raw is not None:
                self._consumer.seek(TopicPartition(raw.topic(), raw.partition(), raw.offset()))  # type: ignore[arg-type]
        self._consumer.resume(self._consumer.assignment())

    def _done(self, ends: dict[tuple[str, int], tuple[int, int]], arrived: np.ndarray) -> None:
        """A batch and all before it are delivered."""
        failpoints.reach("delivered")
        self._progressed = True
        self._delivered |= {place: end for place, end in ends.items() if place in self._starts}
        self._report.delivered(arrived)

    def _commit(self, *, wait: bool) -> None:
        self._committed = self.clock()
        done, self._delivered = self._delivered, {}
        offsets = [
            TopicPartition(topic, p, offset, str(stamp))
            for (topic, p), (offset, stamp) in done.items()
            if offset >= self._starts[topic, p].send
        ]
        if offsets and wait:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        elif offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _settle(self) -> None:
        """Score what was read, deliver and commit all of it."""
        while len(self._ahead):
            self._next()
        self._outbox.close()
        self._commit(wait=True)
        self._report.say(self._lag())

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            place = partition.topic, partition.partition
            source = self.plan.sources[self._sources[partition.topic]].name
            start = self._finder.of(partition, self.scorer.progress(source))
            self._forget(partition)
            self._starts[place] = start
            self._goals[place] = consumer.get_watermark_offsets(partition, timeout=15)[1]
            self.scorer.begin(source, partition.partition, start.read)
            partition.offset = start.read
            if start.first:
                # Where a group begins is remembered even if nothing comes: another start would be later.
                self._delivered[place] = start.send, int(self.clock() * 1000)
            log.info("reading", topic=place[0], partition=place[1], offset=start.read, scores_from=start.send)
        consumer.incremental_assign(partitions)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._broken:
            self._outbox.close()
            self._commit(wait=True)
        self._lost(consumer, partitions)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._forget(partition)

    def _forget(self, partition: TopicPartition) -> None:
        place = partition.topic, partition.partition
        number = self._sources[partition.topic]
        for held in (self._starts, self._goals, self._delivered):
            held.pop(place, None)
        self._duplicates.drop(number, partition.partition)
        self.scorer.drop(self.plan.sources[number].name, partition.partition)

    def _positions(self) -> dict[tuple[str, int], int]:
        held = self._consumer.position([TopicPartition(*place) for place in self._starts])
        return {(p.topic, p.partition): p.offset for p in held}

    def _caught_up(self) -> bool:
        if not self._goals:
            return False
        at = self._positions()
        reached = (max(at[place], self._starts[place].read) >= goal for place, goal in self._goals.items())
        return all(reached)

    def _lag(self) -> int:
        behind = 0
        for (topic, partition), at in self._positions().items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            behind += max(high - max(at, self._starts[topic, partition].send), 0) if high >= 0 else 0
        return behind


CONSUMER = {
    "enable.auto.commit": False,
    "partition.assignment.strategy": "cooperative-sticky",
    "fetch.wait.max.ms": 50,
    "fetch.error.backoff.ms": 50,
    "queued.max.messages.kbytes": 65_536,
}
PRODUCER = {
    "enable.idempotence": True,
    "linger.ms": 1,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 200_000,
    "message.timeout.ms": 60_000,
}


def _away(bootstrap: str, error: KafkaError | str) -> KafkaAway:
    said = error.str() if isinstance(error, KafkaError) else error
    return KafkaAway(f"Kafka at {bootstrap} does not answer ({said}): start it")
