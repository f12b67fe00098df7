"""What Spark says of the batches that it has finished."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from pyspark.sql.streaming.listener import StreamingQueryProgress
from pyspark.sql.streaming.query import StreamingQuery


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
