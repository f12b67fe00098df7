"""The flows of the history lane: what each reads, and the sinks it writes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from streaming.archive import tables, windows
from streaming.archive.arrivals import Arrivals, ArrivalsWriter
from streaming.archive.ledger import Ledger, MarkedCheckpoint
from streaming.archive.messages import Messages
from streaming.archive.sessions import FinalSessions
from streaming.archive.updates import Updates, UpdatesWriter
from streaming.archive.windows import FinalWindows
from streaming.definitions.sessions import Sessions
from streaming.lanes.flow import Flow
from streaming.plan import Plan, Source
from streaming.settings import HistorySettings
from streaming.sinks import Destination, Sink, Table, Writer, takes
from streaming.sinks.delta import DeltaFolder, DeltaSink


@dataclass
class Flows:
    """Makes the flows of a plan. `checkpoint` is the lane's folder; each flow has one of its own in it."""

    plan: Plan
    sessions: tuple[Sessions, ...]
    checkpoint: str
    settings: HistorySettings
    spark: SparkSession
    bootstrap: str
    starting: str
    on_batch: Callable[[dict[str, Any]], None]
    clock: Callable[[], float] = time.time
    _making: Any = field(default_factory=threading.RLock, init=False)

    def __post_init__(self) -> None:
        self._sinks: dict[tuple[str, str], DeltaSink] = {}

    @cached_property
    def folder(self) -> DeltaFolder:
        """Where the tables are; a local folder by its absolute path, since Spark's JVM has its own idea of here."""
        given = self.settings.history
        return DeltaFolder(given if "://" in given else str(Path(given).absolute()))

    @cached_property
    def _takes(self) -> SparkSession:
        """The session of queries whose results do not wait for time to pass."""
        return _session(self.spark, idle_batches=False)

    @cached_property
    def _waits(self) -> SparkSession:
        """The session of queries that end windows: it takes a batch without data to write the last of them."""
        return _session(self.spark, idle_batches=True)

    def _own(self, name: str) -> MarkedCheckpoint:
        return MarkedCheckpoint(f"{self.checkpoint.rstrip('/')}/{name}")

    def _flow(self, name: str, frame: Callable[[], DataFrame], write: Callable[..., dict[str, Any]]) -> Flow:
        def ready() -> DataFrame:
            # Tables are made one at a time: another flow's change of one would fail this one's.
            with self._making:
                return frame()

        return Flow(
            name,
            self.spark,
            self._own(name),
            ready,
            write,
            self.settings.history_trigger,
            self.settings.backoff_seconds,
            self.on_batch,
            self.clock,
        )

    def _sink(self, table: Table, flow: str) -> DeltaSink:
        if (table.name, flow) not in self._sinks:
            writer = Writer(flow.replace("/", "."), self._own(flow).identity)
            self._sinks[table.name, flow] = self.folder.sink(table, writer)
        return self._sinks[table.name, flow]

    def arrivals(self) -> Flow:
        """Kafka -> events and quarantine."""
        name = "arrivals"
        arrivals = Arrivals(self.plan, self.bootstrap, self.settings.history_max_events)
        events = tuple(self._sink(tables.events(source), name) for source in self.plan.sources)
        quarantine = self._sink(tables.QUARANTINE, name)
        writer = ArrivalsWriter(self.plan, Ledger(self._own(name)), events, quarantine)

        def frame() -> DataFrame:
            for sink in (*events, quarantine):
                sink.prepare(self.spark)
            return arrivals.stream(self._takes, self.starting)

        return self._flow(name, frame, writer.write)

    def updates(self) -> Flow:
        """The topic feature-updates -> the feature log."""
        name, topic = "updates", self.settings.updates_topic
        updates = Updates(topic, self.bootstrap, self.settings.history_max_events)
        log, quarantine = self._sink(tables.FEATURE_LOG, name), self._sink(tables.QUARANTINE, name)
        writer = UpdatesWriter(topic, self._own(name), log, quarantine)

        def frame() -> DataFrame:
            log.prepare(self.spark)
            quarantine.prepare(self.spark)
            return updates.stream(self._takes, self.starting)

        return self._flow(name, frame, writer.write)

    def kept(self) -> Iterator[Flow]:
        """Other topics -> a table each, as they are."""
        for topic in self.settings.topics:
            yield self._messages(topic)

    def _messages(self, topic: str) -> Flow:
        name = f"topics/{topic}"
        table = self._sink(tables.messages(topic), name)
        kept = Messages(topic, self.bootstrap, self.settings.history_max_events, self._own(name), table)

        def frame() -> DataFrame:
            table.prepare(self.spark)
            return kept.stream(self._takes, self.starting)

        return self._flow(name, frame, kept.write)

    def aggregates(self) -> Iterator[Flow]:
        """Events -> final windows and sessions."""
        numbers = {source.name: n for n, source in enumerate(self.plan.sources)}
        for view in self.plan.views:
            source = self.plan.sources[numbers[view.source]]
            for final in windows.chosen(view, source, numbers[view.source], self.settings.history_windows):
                yield self._windows(final)
        if self.settings.history_sessions:
            for one in self.sessions:
                sources = tuple(self.plan.sources[numbers[part.source]] for part in one.parts)
                yield self._sessions(FinalSessions(one, sources), numbers)

    def _windows(self, final: FinalWindows) -> Flow:
        name = f"windows/{final.view.name}/{final.name}"

        def frame() -> DataFrame:
            groups = final.frame(self._events(final.source, final.number))
            for table, _ in final.tables(groups):
                self._sink(table, name).prepare(self.spark)
            return groups

        def write(groups: DataFrame, batch: int, _: float) -> dict[str, Any]:
            return self._write_all(groups, batch, name, lambda held: final.tables(held))

        return self._flow(name, frame, write)

    def _sessions(self, final: FinalSessions, numbers: dict[str, int]) -> Flow:
        name = f"sessions/{final.name}"

        def frame() -> DataFrame:
            groups = final.frame([self._events(s, numbers[s.name]) for s in final.sources])
            self._sink(final.table(groups)[0], name).prepare(self.spark)
            return groups

        def write(groups: DataFrame, batch: int, _: float) -> dict[str, Any]:
            return self._write_all(groups, batch, name, lambda held: iter([final.table(held)]))

        return self._flow(name, frame, write)

    def _write_all(
        self,
        groups: DataFrame,
        batch: int,
        name: str,
        outputs: Callable[[DataFrame], Iterator[tuple[Table, DataFrame]]],
    ) -> dict[str, Any]:
        # Spark 4.2 cannot cache rows that are sorted by two columns, as groups can be.
        held = groups.repartition(self.spark.sparkContext.defaultParallelism)
        held = held.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            rows = held.count()
            if rows:
                for table, output in outputs(held):
                    self._sink(table, name).write(output, batch)
            return {"written": {name: rows}}
        finally:
            held.unpersist()

    def _events(self, source: Source, number: int) -> DataFrame:
        table = tables.events(source)
        self._sink(table, "arrivals").prepare(self.spark)
        return windows.events(self._waits, self.folder.path(table.name), source, number)

    def tables(self) -> list[tuple[str, str]]:
        """Every table that the lane writes, with its partition column."""
        names = [tables.events(source) for source in self.plan.sources] + [tables.QUARANTINE]
        names += [tables.FEATURE_LOG] if self.settings.updates else []
        names += [tables.messages(topic) for topic in self.settings.topics]
        numbers = {source.name: n for n, source in enumerate(self.plan.sources)}
        found = [(table.name, table.partition) for table in names]
        for view in self.plan.views:
            source = self.plan.sources[numbers[view.source]]
            for final in windows.chosen(view, source, 0, self.settings.history_windows):
                found += [(windows.folder(view, window), "date") for window in final.windows]
        if self.settings.history_sessions:
            found += [(f"sessions/{one.entity}", "date") for one in self.sessions]
        return found

    def exports(self, destinations: list[Destination]) -> Iterator[Flow]:
        """Each Delta table -> each further destination, in flows that stand still alone."""
        for destination in destinations:
            folder = hashlib.blake2s(destination.name.encode(), digest_size=6).hexdigest()
            for table, partition in self.tables():
                if not takes(destination, table):
                    continue
                yield self._export(destination, f"exports/{folder}/{table}", table, partition)

    def _export(self, destination: Destination, name: str, path: str, partition: str) -> Flow:
        writer = Writer(f"export.{path.replace('/', '.')}", self._own(name).identity)
        place = self.folder.path(path)

        def frame() -> DataFrame:
            stream = self._takes.readStream.format("delta").option("skipChangeCommits", "true")
            return stream.load(place)

        def write(rows: DataFrame, batch: int, _: float) -> dict[str, Any]:
            held = rows.persist(StorageLevel.MEMORY_AND_DISK)
            try:
                count = held.count()
                if count:
                    self._exporter(destination, path, partition, rows.schema, writer).write(held, batch)
                return {"written": {name: count}}
            finally:
                held.unpersist()

        return self._flow(name, frame, write)

    def _exporter(
        self, destination: Destination, path: str, partition: str, schema: StructType, writer: Writer
    ) -> Sink:
        return destination.sink(Table(path, schema, self._key(path), partition), writer)

    def _key(self, path: str) -> tuple[str, ...]:
        kind, _, rest = path.partition("/")
        if kind in ("events", "quarantine", "topics"):
            return tables.PLACE
        if kind == "feature_log":
            return tables.FEATURE_LOG.key
        if kind == "sessions":
            return next((one.key, "session_start") for one in self.sessions if one.entity == rest)
        view = next(v for v in self.plan.views if v.name == rest.rpartition("/")[0])
        return (*[name for name, _ in view.keys], "window_start")


def _session(spark: SparkSession, *, idle_batches: bool) -> SparkSession:
    session = spark.newSession()
    # A new session starts from Spark's configuration, without what was set while it ran.
    session.conf.set("spark.sql.shuffle.partitions", str(spark.conf.get("spark.sql.shuffle.partitions")))
    session.conf.set("spark.sql.streaming.noDataMicroBatches.enabled", str(idle_batches).lower())
    # Delta's default of 50 tasks for each look at a table's log is for tables of millions of files.
    session.conf.set("spark.databricks.delta.snapshotPartitions", "2")
    return session
