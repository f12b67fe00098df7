"""A shop's history lane in this process, and what its tables hold."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lane_orders import Good
from lane_world import Message, World
from pyspark.sql import DataFrame, Row, SparkSession

from streaming.definitions import sessions
from streaming.errors import TidemarkError
from streaming.lanes.history import HistoryLane
from streaming.settings import HistorySettings

QUICK = {"history_windows": "none", "history_sessions": False, "updates": False}
"""No flows but arrivals."""


@dataclass
class History:
    """`lines` are the reports of every batch so far."""

    world: World
    spark: SparkSession
    folder: Path
    checkpoint: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    views: tuple[str, ...] | None = None

    def lane(self, clock: Callable[[], float] = time.time, **options: Any) -> HistoryLane:
        settings = HistorySettings(
            history=str(self.folder),
            updates_topic=self.world.updates,
            history_trigger=0,
            backoff_seconds=0.5,
            **(QUICK | options),
        )
        plan = self.world.plan(self.spark, self.views)
        held = sessions.load(self.world.repo, plan)
        return HistoryLane(plan, held, str(self.checkpoint), settings, self.spark, self.lines.append, clock)

    def run(self, clock: Callable[[], float] = time.time, **options: Any) -> list[dict[str, Any]]:
        """Run until it has caught up; the reports of this run."""
        before = len(self.lines)
        self.lane(clock, **options).run(until_caught_up=True)
        assert all(line.get("unaccounted", 0) == 0 for line in self.lines)
        return self.lines[before:]

    def table(self, name: str) -> DataFrame:
        return self.spark.read.format("delta").load(str(self.folder / name))

    def rows(self, name: str) -> list[Row]:
        return self.table(name).collect()

    @property
    def good(self) -> list[tuple[Message, Good]]:
        return [(m, about) for m, about in self.world.sent if isinstance(about, Good)]


@contextlib.contextmanager
def running(lane: HistoryLane) -> Iterator[list[TidemarkError]]:
    """The lane in a thread; yields what it raised. At the end it has stopped as on SIGTERM."""
    raised: list[TidemarkError] = []

    def work() -> None:
        try:
            lane.run()
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


def until(happened: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)
