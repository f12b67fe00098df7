"""One micro-batch: duplicates found, then rows into rings, and the counts of what became of every message."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from pyspark.sql import DataFrame, Row

from streaming import duplicates
from streaming.action import Action
from streaming.checkpoint import Checkpoint, Entry
from streaming.duplicates import Copies, Finder, Span
from streaming.errors import ServiceError
from streaming.plan import Source
from streaming.seen import Cut
from streaming.task import Report, Task, Work, total


@dataclass
class BatchResult:
    """Of one batch: its place in Kafka, the tasks' report added up, and seconds by stage.

    `repair` says that it was finished before and ran again because Redis had lost it.
    """

    entry: Entry
    report: Report
    duplicates: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    repair: bool = False


def run(
    rows: DataFrame, task: Task, entry: Entry, checkpoint: Checkpoint, live: Sequence[Cut]
) -> BatchResult:
    """Merge and write one batch of rows (`Projection.rows`); `live` are the batches whose event ids count.

    Where the batch has identities, a job over their partitions comes first. Both jobs share one plan and
    the files of one shuffle. Raises what the tasks raised, as Spark reports it.
    """
    begun = time.perf_counter()
    finder = _finder(task, entry, checkpoint, live) if entry.partitions else None
    action = Action(rows.mapInArrow(Work(task, finder, entry.partitions), duplicates.OUTPUT))
    if entry.partitions and action.partitions != 2 * entry.partitions:
        raise ServiceError(
            f"Spark gave {action.partitions} partitions instead of {2 * entry.partitions}: "
            "leave spark.sql.adaptive.enabled at false"
        )
    planned = time.perf_counter()
    gone: dict[str, Copies] = {}
    if entry.partitions:
        gone = copies(entry, task.plan.sources, action.collect(range(entry.partitions)))
    known = time.perf_counter()
    told = msgspec.json.encode(gone).decode() if gone else ""
    written = action.collect(range(entry.partitions, action.partitions), told)
    report = total(msgspec.json.decode(row.data, type=Report) for row in written)
    seconds = {
        "plan": planned - begun,
        "duplicates": known - planned,
        "tasks": time.perf_counter() - known,
    }
    return BatchResult(entry, report, sum(found.count for found in gone.values()), seconds)


def _finder(task: Task, entry: Entry, checkpoint: Checkpoint, live: Sequence[Cut]) -> Finder:
    starts = tuple({span.part: span.start for span in spans(entry, s)} for s in task.plan.sources)
    return Finder(checkpoint, checkpoint.identity, entry.batch, entry.partitions, tuple(live), starts)


def spans(entry: Entry, source: Source) -> list[Span]:
    """What a batch has of each partition of a source's topic."""
    start = entry.start.get(source.topic, {})
    ends = entry.end.get(source.topic, {}).items()
    return [Span(int(p), start.get(p, 0), end - start.get(p, 0)) for p, end in ends]


def copies(entry: Entry, sources: Sequence[Source], found: Sequence[Row]) -> dict[str, Copies]:
    """The places of duplicates that the tasks found, by source."""
    places: dict[int, dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
    for row in found:
        places[row.source][row.part].append(row.data)
    return {sources[i].name: Copies.of(spans(entry, sources[i]), held) for i, held in places.items()}
