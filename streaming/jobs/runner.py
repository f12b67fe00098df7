"""From the settings of a lane to a running one: session, plan, signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from streaming import garbage, session
from streaming.checkpoint import Checkpoint
from streaming.priority import stand_back
from streaming.settings import HistorySettings, LaneSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.plan import Plan

Jars = Callable[[], Sequence[Path]]


class Lane(Protocol):
    """What runs until it is told to stop."""

    def run(self, *, starting_offsets: str, until_caught_up: bool) -> None: ...

    def stop(self) -> None: ...


def run(
    repo: Path,
    views: Sequence[str] | None,
    checkpoint: str,
    settings: LaneSettings,
    *,
    starting_offsets: str = "earliest",
    until_caught_up: bool = False,
    jars: Jars | None = None,
    on_batch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Run the online lane until it is stopped (SIGTERM and Ctrl-C let the running batch end).

    Outside spark-submit a local session is made, with the jars that `jars` returns. Raises TidemarkError.
    """
    held = Checkpoint(checkpoint)
    stand_back(settings.nice)
    with planned("online", repo, views, held, settings, settings.partitions, jars, wake=True) as (
        spark,
        plan,
    ):
        from streaming.lanes.online import OnlineLane

        _serve(settings.metrics_port, {"checkpoint": checkpoint})
        _until_told(OnlineLane(plan, held, settings, spark, on_batch), starting_offsets, until_caught_up)


def run_history(
    repo: Path,
    views: Sequence[str] | None,
    checkpoint: str,
    settings: HistorySettings,
    *,
    starting_offsets: str = "earliest",
    until_caught_up: bool = False,
    jars: Jars | None = None,
    on_batch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Run the history lane, as `run` does the online lane."""
    held = Checkpoint(checkpoint)
    partitions = settings.history_partitions
    stand_back(settings.history_nice)
    from streaming.sinks.delta import SPARK

    with planned("history", repo, views, held, settings, partitions, jars, SPARK, wake=True) as (spark, plan):
        from streaming.definitions import sessions
        from streaming.lanes.history import HistoryLane

        _serve(settings.history_metrics_port, {"checkpoint": checkpoint, "history": settings.history})
        lane = HistoryLane(plan, sessions.load(repo, plan), checkpoint, settings, spark, on_batch)
        _until_told(lane, starting_offsets, until_caught_up)


@contextmanager
def planned(
    name: str,
    repo: Path,
    views: Sequence[str] | None,
    held: Checkpoint,
    settings: LaneSettings | HistorySettings,
    partitions: int | None,
    jars: Jars | None,
    conf: Mapping[str, str] | None = None,
    *,
    wake: bool = False,
) -> Iterator[tuple[SparkSession, Plan]]:
    """A session and the repo's plan, for the time of the context. Raises TidemarkError.

    With `wake` its Python workers start meanwhile, for a lane whose first batch would wait for them.
    """
    submitted = session.submitted().contains("spark.master")
    with ThreadPoolExecutor(1) as pool:
        # The JVM starts while Feast is imported: each takes seconds.
        starting = pool.submit(
            session.build,
            f"tidemark-{name}",
            master=settings.master or (None if submitted else "local[*]"),
            jars=() if submitted or jars is None else list(jars()),
            # Spark's own default of 200 would open 200 state stores a batch.
            shuffle_partitions=partitions or (None if submitted else os.cpu_count()),
            driver_memory=None if submitted else settings.driver_memory,
            conf={**settings.spark(), **(conf or {})},
        )
        from streaming import definitions, workers
        from streaming.lanes import failures

        spark = starting.result()
    # Spark ends after the workers have woken: one that is stopped before complains below the lane's last word.
    with failures.stopped(spark), ThreadPoolExecutor(1) as beside:
        if wake:
            # What ails it, ails the first batch as well, which says so.
            beside.submit(workers.wake, spark)
        verified = held.verified
        plan = definitions.load(repo, views, spark, verified=verified)
        held.remember_verified(verified)
        for warning in plan.warnings:
            structlog.get_logger(f"tidemark.{name}").warning(warning)
        yield spark, plan.at(settings.kafka) if settings.kafka else plan


def _serve(port: int | None, folders: Mapping[str, str]) -> None:
    """Answer Prometheus on `port`, also with what the machine gives and what commands left in the history."""
    if not port:
        return
    from streaming import metrics
    from streaming.machine import Machine

    asked = [Machine(folders).refresh]
    if "history" in folders:
        from streaming.history.results import Results

        asked.append(Results(folders["history"]).refresh)

    def refresh() -> None:
        for one in asked:
            one()

    metrics.serve(port, refresh)


def _until_told(lane: Lane, starting_offsets: str, until_caught_up: bool) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: lane.stop())
    garbage.spare(thoroughly=True)
    lane.run(starting_offsets=starting_offsets, until_caught_up=until_caught_up)
