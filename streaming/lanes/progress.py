"""What Spark says of the batches that it has finished."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator

from pyspark.sql.streaming.listener import StreamingQueryProgress
from pyspark.sql.streaming.query import StreamingQuery

from streaming.checkpoint import Checkpoint

PATIENCE = 10.0


def finished(running: StreamingQuery, wanted: Collection[int]) -> Iterator[StreamingQueryProgress]:
    """Of the batches `wanted` those that Spark has finished, in order.

    `StreamingQuery.recentProgress` writes the last hundred as JSON, 40 ms of two cores at each look.
    """
    if not wanted:
        return
    recent, first, found = running._jsq.recentProgress(), min(wanted), []
    for i in range(len(recent) - 1, -1, -1):
        if recent[i].batchId() < first:
            break
        found.append(recent[i])
    for progress in reversed(found):
        # While there is nothing to do, Spark tells of the batch to come.
        if progress.batchId() in wanted and progress.durationMs().containsKey("addBatch"):
            yield StreamingQueryProgress.fromJson(json.loads(progress.json()))


def settle(running: StreamingQuery, checkpoint: Checkpoint, batch: int | None) -> None:
    """Wait until Spark has noted that `batch` is done, which it does after the batch's function has returned.

    A query that is stopped in between runs that batch again when it is started.
    """
    late = time.monotonic() + PATIENCE
    while batch is not None and checkpoint.last_committed() < batch:
        if not running.isActive or time.monotonic() > late:
            return
        time.sleep(0.01)
