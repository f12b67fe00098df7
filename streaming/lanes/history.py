"""The history lane: Kafka -> Delta tables, final windows and sessions, and from there to further sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from pyspark.sql import SparkSession

from streaming import metrics, sinks
from streaming.archive.flows import Flows
from streaming.archive.upkeep import Upkeep
from streaming.definitions.sessions import Sessions
from streaming.errors import DefinitionError, KafkaAway, TidemarkError
from streaming.lanes import topics
from streaming.lanes.flow import Flow
from streaming.plan import Plan
from streaming.settings import HistorySettings

log = structlog.get_logger("tidemark.history")


@dataclass
class HistoryLane:
    """Runs the flows of one plan. `checkpoint` is a folder or URI; `on_batch` receives each batch's report.

    A report names its `flow` and `batch` and says what was `written`, by source or flow; that of arrivals also
    what was `read`, `quarantined` and dropped as `duplicates`, and what these leave `unaccounted`: 0.
    """

    plan: Plan
    sessions: tuple[Sessions, ...]
    checkpoint: str
    settings: HistorySettings
    spark: SparkSession
    on_batch: Callable[[dict[str, Any]], None] | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.destinations = [sinks.destination(uri) for uri in self.settings.sinks]
        self._flows: list[Flow] = []
        self._stopping = threading.Event()
        self._report_lock = threading.Lock()

    def run(self, *, starting_offsets: str = "earliest", until_caught_up: bool = False) -> None:
        """Work until stopped, or until what Kafka held at the start is in every table and sink.

        Each flow restarts by itself while what it needs is away. Raises TidemarkError for what a person
        must resolve, once the other flows have ended their batches.
        """
        bootstrap = _brokers(self.plan)
        self._require(bootstrap)
        made = Flows(
            self.plan,
            self.sessions,
            self.checkpoint,
            self.settings,
            self.spark,
            bootstrap,
            starting_offsets,
            self._report,
            self.clock,
        )
        log.info(
            "starting",
            history=made.folder.root,
            checkpoint=self.checkpoint,
            sinks=[d.name for d in self.destinations],
        )
        stages = [
            lambda: [made.arrivals(), *([made.updates()] if self.settings.updates else []), *made.kept()],
            lambda: list(made.aggregates()),
            lambda: list(made.exports(self.destinations)),
        ]
        upkeep = Upkeep(
            self.spark,
            made.folder,
            self.settings.history_retention_days,
            self.settings.history_vacuum_hours,
            self.clock,
        )
        threads: list[threading.Thread] = []
        keeper = threading.Thread(target=self._keep, args=(upkeep, made.tables()), name="upkeep")
        if self.settings.history_upkeep_minutes and not until_caught_up:
            keeper.start()
            threads.append(keeper)
        for stage in stages:
            flows = stage()
            self._flows += flows
            running = [
                threading.Thread(target=self._work, args=(f, until_caught_up), name=f.name) for f in flows
            ]
            for thread in running:
                thread.start()
            threads += running
            if until_caught_up:
                self._join(running)
            else:
                self._await(flows)
            if self._stopping.is_set():
                break
        self._join(threads)
        for flow in self._flows:
            if flow.error is not None:
                raise flow.error

    def stop(self) -> None:
        """Let the running batches end, then return from `run`. May be called from a signal handler."""
        self._stopping.set()
        for flow in list(self._flows):
            flow.stop()

    def _require(self, bootstrap: str) -> None:
        names = {source.topic for source in self.plan.sources}
        if self.settings.updates:
            names.add(self.settings.updates_topic)
        names.update(self.settings.topics)
        pause = 1.0
        while not self._stopping.is_set():
            try:
                topics.require(bootstrap, sorted(names))
            except KafkaAway as error:
                log.warning("waiting", cause=str(error), in_seconds=pause)
            else:
                return
            self._stopping.wait(pause)
            pause = min(2 * pause, self.settings.backoff_seconds)

    def _work(self, flow: Flow, until_caught_up: bool) -> None:
        try:
            flow.run(until_caught_up)
        except TidemarkError as error:
            flow.error = error
        except Exception as error:
            flow.error = TidemarkError(f"flow {flow.name} failed: {error}")
            flow.error.__cause__ = error
        if flow.error is not None:
            log.error("stopped", flow=flow.name, cause=str(flow.error))
            # What could not be written to a further sink stays in the tables; without those there is no lane.
            if not flow.name.startswith("exports/"):
                self.stop()
        flow.started.set()

    def _await(self, flows: list[Flow]) -> None:
        for flow in flows:
            while not (flow.started.wait(0.1) or self._stopping.is_set()):
                pass

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                # A join without end would hold up signals.
                thread.join(0.2)

    def _keep(self, upkeep: Upkeep, tables: list[tuple[str, str]]) -> None:
        while not self._stopping.wait(60 * self.settings.history_upkeep_minutes):
            for name, done in upkeep.run(tables).items():
                if done.get("removed"):
                    log.info("compacted", table=name, **done)

    def _report(self, line: dict[str, Any]) -> None:
        with self._report_lock:
            if "read" in line:
                quarantined = sum(sum(reasons.values()) for reasons in line["quarantined"].values())
                known = sum(line["written"].values()) + quarantined + line["duplicates"]
                line["unaccounted"] = sum(line["read"].values()) - known
            metrics.observe_history(line)
            if self.on_batch:
                self.on_batch(line)


def _brokers(plan: Plan) -> str:
    """The brokers of every source. Raises DefinitionError when they differ: one query reads one cluster."""
    found = {source.bootstrap_servers: source.name for source in plan.sources}
    if len(found) > 1:
        raise DefinitionError(
            f"sources {' and '.join(sorted(found.values()))} are on different brokers: run a lane for each, with --views"
        )
    return next(iter(found))
