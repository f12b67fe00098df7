"""From the settings of a lane to a running one: session, plan, signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from streaming import session
from streaming.checkpoint import Checkpoint
from streaming.settings import LaneSettings


def run(
    repo: Path,
    views: Sequence[str] | None,
    checkpoint: str,
    settings: LaneSettings,
    *,
    starting_offsets: str = "earliest",
    until_caught_up: bool = False,
    jars: Callable[[], Sequence[Path]] | None = None,
    on_batch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Run the lane until it is stopped (SIGTERM and Ctrl-C let the running batch end).

    Outside spark-submit a local session is made, with the jars that `jars` returns. Raises TidemarkError.
    """
    submitted = session.submitted().contains("spark.master")
    with ThreadPoolExecutor(1) as pool:
        # The JVM starts while Feast is imported: each takes seconds.
        starting = pool.submit(
            session.build,
            "tidemark-online",
            master=settings.master or (None if submitted else "local[*]"),
            jars=() if submitted or jars is None else list(jars()),
            # Spark's own default of 200 would open 200 state stores a batch.
            shuffle_partitions=settings.partitions or (None if submitted else os.cpu_count()),
            driver_memory=None if submitted else settings.driver_memory,
            conf=settings.spark(),
        )
        from streaming import definitions, metrics
        from streaming.lanes import failures
        from streaming.lanes.online import OnlineLane

        spark = starting.result()
    with failures.stopped(spark):
        held = Checkpoint(checkpoint)
        verified = held.verified
        plan = definitions.load(repo, views, spark, verified=verified)
        held.remember_verified(verified)
        for warning in plan.warnings:
            structlog.get_logger("tidemark.online").warning(warning)
        if settings.kafka:
            plan = plan.at(settings.kafka)
        if settings.metrics_port:
            metrics.serve(settings.metrics_port)
        lane = OnlineLane(plan, held, settings, spark, on_batch)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: lane.stop())
        lane.run(starting_offsets=starting_offsets, until_caught_up=until_caught_up)
