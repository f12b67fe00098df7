"""What commands found out, as metrics of a lane that goes on running: the last parity run and the last rebuild."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from pyarrow import fs

from streaming import metrics
from streaming.history.backfill import place
from streaming.history.parity_runs import Run

PAUSE = 60.0
"""Seconds between two looks at the store."""


class RebuildRun(msgspec.Struct, frozen=True):
    """A rebuild: when (ISO 8601), how many events it read, and how many seconds it took."""

    at: str
    events: int
    seconds: float


def keep_rebuild(root: str, done: RebuildRun) -> str:
    """Write it beside the tables; where it is."""
    system, folder = place(f"{root.rstrip('/')}/rebuilds")
    system.create_dir(folder)
    name = datetime.fromisoformat(done.at).strftime("%Y%m%dT%H%M%S%f")
    with system.open_output_stream(f"{folder}/{name}.json") as file:
        file.write(msgspec.json.encode(done))
    return f"{folder}/{name}.json"


class Results:
    """Brings the metrics of the history at `root` up to date when asked, at most once in PAUSE seconds."""

    def __init__(self, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root.rstrip("/")
        self.clock = clock
        self._next = float("-inf")

    def refresh(self) -> None:
        """Read what the last commands have left."""
        if self.clock() < self._next:
            return
        self._next = self.clock() + PAUSE
        if parity := self._newest("parity", Run):
            metrics.PARITY_RUN.set(_seconds(parity.at))
            for view in {result.view for result in parity.results}:
                mine = parity.of_view(view)
                metrics.PARITY_COMPARED.labels(view).set(sum(result.compared for result in mine))
                metrics.PARITY_UNEQUAL.labels(view).set(sum(result.wrong for result in mine))
        if rebuilt := self._newest("rebuilds", RebuildRun):
            metrics.REBUILD_RUN.set(_seconds(rebuilt.at))
            metrics.REBUILD_EVENTS.set(rebuilt.events)
            metrics.REBUILD_SECONDS.set(rebuilt.seconds)

    def _newest(self, kind: str, type_: Any) -> Any:
        system, folder = place(f"{self.root}/{kind}")
        infos = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        paths = [info.path for info in infos if info.base_name.endswith(".json")]
        if not paths:
            return None
        with system.open_input_stream(max(paths)) as file:
            return msgspec.json.decode(file.read(), type=type_)


def _seconds(at: str) -> float:
    moment = datetime.fromisoformat(at)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
