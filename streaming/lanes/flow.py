"""One Spark query of a lane of several: it restarts by itself, whatever becomes of the others."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from streaming import failpoints, metrics
from streaming.checkpoint import Checkpoint
from streaming.errors import TidemarkError
from streaming.lanes import failures
from streaming.lanes.progress import finished, settle
from streaming.sinks import SinkAway

log = structlog.get_logger("tidemark.history")

_STORAGE = re.compile(
    r"IOException|FileSystemException|AccessDenied|Permission denied|No space left|ConnectException"
)

Write = Callable[[DataFrame, int, float], dict[str, Any]]


@dataclass
class Flow:
    """`frame` makes the streaming frame, after whatever it needs is there; `write` writes one batch of it.

    `write` is given the batch, its id and the time in seconds, and returns what the flow's report says of
    it. `trigger` (ms) is the least time between two batches, `backoff` (s) the longest pause between two
    attempts.
    """

    name: str
    spark: SparkSession
    checkpoint: Checkpoint
    frame: Callable[[], DataFrame]
    write: Write
    trigger: int
    backoff: float
    on_batch: Callable[[dict[str, Any]], None]
    clock: Callable[[], float] = time.time
    error: TidemarkError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.started = threading.Event()
        """Set once the query has run, and so its tables are there."""
        self._stopping = threading.Event()
        self._ending = threading.Event()
        self._between = threading.Lock()
        self._finished: dict[int, dict[str, Any]] = {}
        self._last: int | None = None
        self._failed: Exception | None = None

    def stop(self) -> None:
        """Let the running batch end, then return from `run`."""
        self._stopping.set()

    def run(self, until_caught_up: bool) -> None:
        """Work until stopped, or until what the source held at the start is done.

        Goes on by itself, with growing pauses, while Kafka or a destination is away. Raises TidemarkError
        for what a person must resolve.
        """
        attempt = 0
        while not self._stopping.is_set():
            self._last = None
            try:
                self._run_once(until_caught_up)
            except TidemarkError as error:
                attempt = attempt + 1 if self._last is None else 1
                if not (isinstance(error, SinkAway) or failures.passing(error, attempt)):
                    raise
                cause = error
            else:
                return
            pause = min(self.backoff, 0.5 * 2 ** min(attempt, 16))
            metrics.RESTARTS.labels(type(cause).__name__).inc()
            log.warning("restarting", flow=self.name, cause=str(cause), in_seconds=pause, attempt=attempt)
            self._stopping.wait(pause)

    def _run_once(self, until_caught_up: bool) -> None:
        self._finished.clear()
        self._ending.clear()
        self._failed = None
        running: StreamingQuery | None = None
        try:
            writer = self.frame().writeStream.option("checkpointLocation", self.checkpoint.spark)
            writer = writer.outputMode("append").queryName(f"tidemark-{self.name}").foreachBatch(self._batch)
            timed = (
                {"availableNow": True}
                if until_caught_up
                else {"processingTime": f"{self.trigger} milliseconds"}
            )
            running = writer.trigger(**timed).start()
            self.started.set()
            while not running.awaitTermination(0.2):  # type: ignore[arg-type]
                self._publish(running)
                if self._stopping.is_set():
                    return
        except TidemarkError:
            raise
        except (StreamingQueryException, PySparkException, Py4JError, OSError) as error:
            raise _kind(self._failed or error) from (self._failed or error)
        finally:
            if running is not None:
                self._end(running)

    def _end(self, running: StreamingQuery) -> None:
        if running.isActive:
            with self._between:
                self._ending.set()
            settle(running, self.checkpoint, self._last)
            running.stop()
        self._publish(running)

    def _batch(self, frame: DataFrame, number: int) -> None:
        try:
            with self._between:
                if self._ending.is_set():
                    # Spark waits for this call before it stops: end it, the batch is taken up again.
                    raise RuntimeError("the lane is stopping")
                self._finished[number] = self.write(frame, number, self.clock())
                self._last = number
                failpoints.reach(f"{self.name}-commit")
        except Exception as error:
            # Spark passes on the text of an error alone, far down in its own.
            self._failed = error
            raise

    def _publish(self, running: StreamingQuery) -> None:
        """Report the batches that Spark has finished since the last call."""
        for progress in finished(running, list(self._finished)):
            done = self._finished.pop(progress["batchId"])
            self.on_batch({"batch": progress["batchId"], "flow": self.name, **done, **_seen(progress)})


def _kind(error: Exception) -> TidemarkError:
    """The error as one of ours; storage that cannot be written is taken for one that is away."""
    known = failures.of(error)
    if isinstance(known, failures.Retry) and _STORAGE.search(str(error)):
        return SinkAway(
            f"the lane's storage cannot be written ({known}): see whether it is there and has room"
        )
    return known


def _seen(progress: Mapping[str, Any]) -> dict[str, Any]:
    """What Spark says of a batch: duplicates, groups that came too late for their window, and seconds."""
    operators = progress["stateOperators"] or []
    return {
        "duplicates": sum(int(o["customMetrics"].get("numDroppedDuplicateRows", 0)) for o in operators),
        "dropped": sum(int(o["numRowsDroppedByWatermark"] or 0) for o in operators),
        "state_rows": sum(int(o["numRowsTotal"] or 0) for o in operators),
        "seconds": round((progress["durationMs"] or {}).get("triggerExecution", 0) / 1000, 3),
    }
