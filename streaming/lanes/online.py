"""The online lane: Kafka -> micro-batches -> rings in Redis, started again by itself after an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import structlog
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import DataStreamWriter, StreamingQuery

from streaming import duplicates, failpoints, kafka, metrics, session
from streaming.action import Action
from streaming.checkpoint import BEFORE_FIRST, Checkpoint, Entry
from streaming.errors import DefinitionError, TidemarkError
from streaming.lanes import batch, failures, report, topics
from streaming.lanes.keeper import Keeper
from streaming.lanes.memory import Memory
from streaming.lanes.progress import finished, settle
from streaming.merger import Claim
from streaming.plan import Plan
from streaming.planned import Planned
from streaming.query import Query
from streaming.settings import LaneSettings
from streaming.task import Task, Work

log = structlog.get_logger("tidemark.online")


@dataclass
class OnlineLane:
    """Runs one plan on one checkpoint. `on_batch` receives each batch's report (`streaming.lanes.report`)."""

    plan: Plan
    checkpoint: Checkpoint
    settings: LaneSettings
    spark: SparkSession
    on_batch: Callable[[dict[str, Any]], None] | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.bootstrap = _brokers(self.plan)
        partitions = self.settings.partitions or self.spark.sparkContext.defaultParallelism
        self.query = Query(self.spark, self.plan, self.bootstrap, self.settings.max_events, partitions)
        self.keeper = Keeper(self.plan, self.checkpoint, self.settings, self.clock)
        self.memory = Memory(self.checkpoint, self.query.horizon)
        self._watermarks: dict[str, int] = {}
        self._cut = 0
        self._finished: dict[int, batch.BatchResult] = {}
        self._last: int | None = None
        self._stopping = threading.Event()
        self._ending = threading.Event()
        self._between = threading.Lock()
        self._first = True
        self._planned: Planned
        self._error: Exception | None = None

    def run(self, *, starting_offsets: str = "earliest", until_caught_up: bool = False) -> None:
        """Work until stopped, or until what Kafka held at the start is done.

        Restarts by itself, with growing pauses, while Redis or Kafka is away. Raises TidemarkError for
        what a person must resolve.
        """
        log.info(
            "starting",
            master=self.spark.sparkContext.master,
            checkpoint=self.checkpoint.location,
            identity=self.checkpoint.identity,
        )
        attempt = 0
        while not self._stopping.is_set():
            self._last = None
            try:
                topics.require(self.bootstrap, self._topics())
                self._require_views()
                with self.keeper.hold(starting_offsets):
                    self._run_once(starting_offsets, until_caught_up)
            except TidemarkError as error:
                attempt = attempt + 1 if self._last is None else 1
                if not failures.passing(error, attempt):
                    raise
                cause = error
            else:
                return
            pause = min(self.settings.backoff_seconds, 0.5 * 2 ** min(attempt, 16))
            metrics.RESTARTS.labels(type(cause).__name__).inc()
            log.warning("restarting", cause=str(cause), in_seconds=pause, attempt=attempt)
            self._stopping.wait(pause)

    def stop(self) -> None:
        """Let the running batch end, then return from `run`. May be called from a signal handler."""
        self._stopping.set()

    def _topics(self) -> list[str]:
        names = {source.topic for source in self.plan.sources} | {self.settings.dead_letter_topic}
        if self.settings.updates and any(view.emit_updates for view in self.plan.views):
            names.add(self.settings.updates_topic)
        return sorted(names)

    def _require_views(self) -> None:
        """Raise DefinitionError when the checkpoint has topics that none of the views reads."""
        held = self.checkpoint.start(self.checkpoint.last_committed() + 1)
        if left := sorted(held.keys() - {source.topic for source in self.plan.sources}):
            raise DefinitionError(
                f"checkpoint {self.checkpoint.location} also reads {', '.join(left)}, of which this lane has no view: "
                "start it with a view of each (--views), or `tidemark stream reset` and start on an empty folder"
            )

    def _run_once(self, starting_offsets: str, until_caught_up: bool) -> None:
        self._finished.clear()
        self._ending.clear()
        self._first, self._error = True, None
        self._planned = Planned(self._work)
        frame = self.query.stream(self._starting(starting_offsets))
        writer = frame.writeStream.option("checkpointLocation", self.checkpoint.spark).outputMode("append")
        writer = writer.queryName(f"tidemark-{self.plan.project}").foreachBatch(self._batch)
        if until_caught_up:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{self.settings.trigger} milliseconds")
        largest = topics.largest(self.bootstrap, [s.topic for s in self.plan.sources])
        with session.bounded_by_rows(self.spark, largest):
            running = self._started(writer)
        try:
            self._watch(running)
        except StreamingQueryException as error:
            raise failures.of(self._error or error) from (self._error or error)
        finally:
            if running.isActive:
                with self._between:
                    self._ending.set()
                settle(running, self.checkpoint, self._last)
                running.stop()
            self._publish(running)

    def _starting(self, given: str) -> str:
        """Where a new checkpoint begins: after what a rebuild has put into the rings, or as `given`."""
        rebuilt = self.checkpoint.entry(BEFORE_FIRST)
        if rebuilt is None:
            return given
        names = {source.topic for source in self.plan.sources}
        return msgspec.json.encode(topics.complete(self.bootstrap, names, rebuilt.end)).decode()

    @staticmethod
    def _started(writer: DataStreamWriter) -> StreamingQuery:
        try:
            return writer.start()
        except PySparkException as error:
            raise failures.of(error) from error

    def _watch(self, running: StreamingQuery) -> None:
        while not running.awaitTermination(0.2):  # type: ignore[arg-type]
            self._publish(running)
            self.keeper.check()
            if self._stopping.is_set():
                return
        self._publish(running)

    def _batch(self, frame: DataFrame, number: int) -> None:
        try:
            self._run_batch(frame, number)
        except Exception as error:
            # Spark passes on the text of an error alone, far down in its own.
            self._error = error
            raise

    def _run_batch(self, frame: DataFrame, number: int) -> None:
        if self._stopping.is_set():
            # `_watch` ends the query within a moment; a short batch would come before that.
            self._ending.wait()
        with self._between:
            if self._ending.is_set():
                # Spark waits for this call before it stops: end it, the batch is taken up again.
                raise RuntimeError("the lane is stopping")
            begun = time.perf_counter()
            entry = self._entry(number)
            if lost := self.keeper.begin(entry):
                self._repair(lost)
                self.keeper.begin(entry)
            checked = time.perf_counter()
            result = self._write(partial(self._planned.over, frame), entry)
            written = time.perf_counter()
            failpoints.reach("marker")
            self.keeper.end(entry)
            self.memory.forget(entry)
            failpoints.reach("commit")
            result.seconds |= {"checks": checked - begun, "markers": time.perf_counter() - written}
            self._finished[number], self._last = result, number
            self._advance(result)

    def _write(self, work: Callable[[], Action], entry: Entry) -> batch.BatchResult:
        claim = Claim(self.checkpoint.identity, self.keeper.epoch, entry.batch)
        turn = batch.turn_of(self.plan, claim, entry, self.checkpoint, self.memory.live(entry))
        return batch.run(work, turn, entry, self.plan.sources)

    def _work(self, messages: DataFrame) -> DataFrame:
        """The tasks over a batch of messages."""
        return self._merged(self.query.rows(messages, self.query.partitions, self.query.deduplicates))

    def _merged(self, rows: DataFrame) -> DataFrame:
        """The tasks over rows (`Projection.rows`)."""
        task = Task(
            self.plan,
            self.keeper.target,
            self.query.projection.views,
            self.keeper.schemas,
            self.bootstrap,
            self.settings.updates_topic,
            self.settings.dead_letter_topic,
            tuple(self.settings.updates and view.emit_updates for view in self.plan.views),
            security=kafka.security(),
        )
        return rows.mapInArrow(Work(task), duplicates.OUTPUT)

    def _entry(self, number: int) -> Entry:
        """This batch's ledger entry: the one of its first attempt, where there was one."""
        partitions = self.query.partitions if self.query.deduplicates else 0
        if self._first:
            self._first = False
            if (held := self.checkpoint.entry(number)) is not None:
                self._watermarks, self._cut = dict(held.watermarks), held.time
                if held.partitions != partitions:
                    held = msgspec.structs.replace(held, partitions=partitions)
                    self.checkpoint.record(held)
                return held
            if (before := self.checkpoint.entry(number - 1)) is not None:
                self._watermarks = self._watermarks or dict(before.watermarks)
                self._cut = before.time
        self._cut = max(self._cut, int(self.clock() * 1000))
        entry = Entry(
            number,
            self.checkpoint.start(number),
            self.checkpoint.offsets(number),
            dict(self._watermarks),
            self._cut,
            partitions,
        )
        self.checkpoint.record(entry)
        return entry

    def _repair(self, entries: list[Entry]) -> None:
        """Run lost batches again, in order; entities that still have them are left alone.

        No shard is marked before the last of them: some may hold them all, and say so.
        """
        for entry in entries:
            log.warning("replaying a batch that Redis lost", batch=entry.batch)
            rows = self.query.again(entry)
            result = self._write(partial(Action.of, self._merged(rows)), entry)
            result.repair = True
            self._report(result, {})
        self.keeper.end(entries[-1])

    def _advance(self, result: batch.BatchResult) -> None:
        for source in self.plan.sources:
            newest = max(
                (
                    o.newest
                    for v in self.plan.of_source(source.name)
                    if (o := result.report.views.get(v.name))
                ),
                default=0,
            )
            if newest:
                held = self._watermarks.get(source.name, 0)
                self._watermarks[source.name] = max(held, newest - source.watermark_delay)

    def _publish(self, running: StreamingQuery) -> None:
        """Report the batches that Spark has finished since the last call."""
        for progress in finished(running, list(self._finished)):
            self._report(self._finished.pop(progress["batchId"]), progress)

    def _report(self, result: batch.BatchResult, progress: Any) -> None:
        line = report.line(result, self.plan, progress, self.clock())
        metrics.observe(line)
        if self.on_batch:
            self.on_batch(line)


def _brokers(plan: Plan) -> str:
    """The brokers of every source. Raises DefinitionError when they differ: one query reads one cluster."""
    first = plan.sources[0]
    for source in plan.sources:
        if source.bootstrap_servers != first.bootstrap_servers:
            raise DefinitionError(
                f"sources {first.name} and {source.name} are on different brokers: run a lane for each, with --views"
            )
    return first.bootstrap_servers
