"""One micro-batch: a projected frame into rings, and the counts of what became of every message."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec
from pyspark.sql import DataFrame

from streaming.checkpoint import Entry
from streaming.query import Query
from streaming.task import OUTPUT, Report, Task, Writer, total


@dataclass
class BatchResult:
    """Of one batch: its place in Kafka, the tasks' report added up, and seconds by stage.

    `repair` says that it was finished before and ran again because Redis had lost it.
    """

    entry: Entry
    report: Report
    seconds: dict[str, float] = field(default_factory=dict)
    repair: bool = False


def run(query: Query, frame: DataFrame, task: Task, entry: Entry, partitions: int) -> BatchResult:
    """Shuffle, merge and write one batch. Raises what the tasks raised, as Spark reports it."""
    begun = time.perf_counter()
    sql = query.projection.sql(partitions)
    rows = frame.sparkSession.sql(sql, batch=frame).mapInArrow(Writer(task), OUTPUT)
    planned = time.perf_counter()
    reports = [msgspec.json.decode(row.outcome, type=Report) for row in rows.collect()]
    done = time.perf_counter()
    return BatchResult(entry, total(reports), {"planning": planned - begun, "tasks": done - planned})
