"""One micro-batch: duplicates found, then rows into rings, and the counts of what became of every message."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec
from pyspark.sql import Row

from streaming.action import Action
from streaming.checkpoint import Checkpoint, Entry
from streaming.duplicates import Copies, Finder, Span
from streaming.errors import ServiceError
from streaming.merger import Claim
from streaming.plan import Plan, Source
from streaming.seen import Cut
from streaming.task import Report, Turn, total


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


def turn_of(plan: Plan, claim: Claim, entry: Entry, checkpoint: Checkpoint, live: Sequence[Cut]) -> Turn:
    """What the tasks of a batch are told; `live` are the batches whose event ids count."""
    watermarks = tuple(entry.watermarks.get(view.source) for view in plan.views)
    if not entry.partitions:
        return Turn(claim, watermarks)
    starts = tuple({span.part: span.start for span in spans(entry, source)} for source in plan.sources)
    finder = Finder(checkpoint, checkpoint.identity, entry.batch, entry.partitions, tuple(live), starts)
    return Turn(claim, watermarks, finder)


def run(work: Callable[[], Action], turn: Turn, entry: Entry, sources: Sequence[Source]) -> BatchResult:
    """Merge and write one batch; `work` gives its rows (`Projection.rows`) with `Work` done on them.

    Where the batch has identities, a job over their partitions comes first. Both jobs share one plan and
    the files of one shuffle. Raises what the tasks raised, as Spark reports it.
    """
    begun = time.perf_counter()
    action = work()
    if entry.partitions and action.partitions != 2 * entry.partitions:
        raise ServiceError(
            f"Spark gave {action.partitions} partitions instead of {2 * entry.partitions}: "
            "leave spark.sql.adaptive.enabled at false"
        )
    planned = time.perf_counter()
    gone: dict[str, Copies] = {}
    if turn.finder:
        gone = copies(entry, sources, action.collect(range(entry.partitions), turn.text()))
    known = time.perf_counter()
    writing = replace(turn, finder=None, copies=gone)
    written = action.collect(range(entry.partitions, action.partitions), writing.text())
    report = total(msgspec.json.decode(row.data, type=Report) for row in written)
    seconds = {
        "plan": planned - begun,
        "duplicates": known - planned,
        "tasks": time.perf_counter() - known,
    }
    return BatchResult(entry, report, sum(found.count for found in gone.values()), seconds)


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
