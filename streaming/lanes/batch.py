"""One micro-batch: a projected frame into rings, and the counts of what became of every message."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec
from pyspark.sql import DataFrame

from streaming.checkpoint import Entry
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


def run(rows: DataFrame, task: Task, entry: Entry) -> BatchResult:
    """Merge and write one batch of rows (`Projection.rows`). Raises what the tasks raised, as Spark reports it."""
    begun = time.perf_counter()
    outcomes = rows.mapInArrow(Writer(task), OUTPUT).collect()
    report = total(msgspec.json.decode(row.outcome, type=Report) for row in outcomes)
    return BatchResult(entry, report, {"tasks": time.perf_counter() - begun})
