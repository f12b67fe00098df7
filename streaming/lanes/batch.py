"""One micro-batch: a projected frame into rings, and the counts of what became of every message."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from pyspark.sql import DataFrame

from streaming.checkpoint import Entry
from streaming.query import Query
from streaming.task import OUTPUT, Report, Task, Writer, total


@dataclass
class BatchResult:
    """Of one batch: its place in Kafka, the tasks' report added up, and seconds by stage."""

    entry: Entry
    report: Report
    seconds: dict[str, float] = field(default_factory=dict)


def run(
    query: Query, frame: DataFrame, task: Task, entry: Entry, partitions: int, *, combine: bool
) -> BatchResult:
    """Aggregate, merge and write one batch. Raises what the tasks raised, as Spark reports it."""
    begun = time.perf_counter()
    watermarks: Sequence[int | None] = [entry.watermarks.get(s.name) for s in query.plan.sources]
    sql = query.partials.sql(watermarks, partitions, combine=combine)
    rows = frame.sparkSession.sql(sql, batch=frame).mapInArrow(Writer(task), OUTPUT)
    planned = time.perf_counter()
    reports = [msgspec.json.decode(row.outcome, type=Report) for row in rows.collect()]
    done = time.perf_counter()
    return BatchResult(entry, total(reports), {"planning": planned - begun, "tasks": done - planned})
