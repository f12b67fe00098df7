"""What runs in a Spark task: sorted events in, rings written, one row of counts out."""

from __future__ import annotations

import base64
import pickle
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

import msgspec
import pyarrow as pa

from streaming import garbage
from streaming.action import told
from streaming.chunks import cut
from streaming.duplicates import ROWS, Copies, Finder
from streaming.events import Reader
from streaming.kafka import Security
from streaming.merger import Claim, Merger, Outcome
from streaming.outbox import Outbox
from streaming.packets import opened
from streaming.plan import Plan
from streaming.projection import ViewColumns
from streaming.redis.bulk import Bulk
from streaming.redis.target import RedisTarget
from streaming.ring import Schemas


@dataclass(frozen=True)
class Task:
    """What the tasks of all batches need, as plain values.

    `columns`, `schemas` and `updates` are by view.
    """

    plan: Plan
    target: RedisTarget
    columns: tuple[ViewColumns, ...]
    schemas: tuple[Schemas, ...]
    kafka: str
    updates_topic: str
    dead_letter_topic: str
    updates: tuple[bool, ...]
    security: Security = field(default_factory=Security)


@dataclass(frozen=True)
class Turn:
    """What the tasks of one job need besides, and are told.

    Those of a job with a `finder` look for duplicates. The others write by `claim` what is less than too late by
    `watermarks` (of the view's source, ms, by view) and is not among `copies`, the duplicates by source.
    """

    claim: Claim
    watermarks: tuple[int | None, ...]
    finder: Finder | None = None
    copies: Mapping[str, Copies] = field(default_factory=dict)

    def text(self) -> str:
        """As `Action.collect` passes it on."""
        return base64.b64encode(pickle.dumps(self)).decode()

    @staticmethod
    def told() -> Turn:
        """This task's."""
        turn: Turn = pickle.loads(base64.b64decode(told()))
        return turn


@dataclass
class Report:
    """Counts of one task (or, added up, of a batch): outcomes by view, quarantined by source and reason code."""

    views: dict[str, Outcome] = field(default_factory=dict)
    quarantined: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    rows: int = 0


@lru_cache(maxsize=4)
def _connection(target: RedisTarget) -> Bulk:
    """A worker keeps its connections from task to task."""
    return Bulk(target)


@dataclass(frozen=True)
class Work:
    """The function for `mapInArrow` over a batch's rows, for jobs that are told their `Turn`.

    Identity rows go to its finder. Others are merged and written; each task yields one row whose `data` is a
    `Report` as JSON.
    """

    task: Task

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        _spare()
        turn = Turn.told()
        if turn.finder:
            yield from turn.finder(batches)
            return
        try:
            report = _write(self.task, turn, batches)
        except BaseException:
            # A connection that was left in the middle of an exchange would answer the next task's questions.
            _connection.cache_clear()
            raise
        row = {"source": None, "part": None, "data": msgspec.json.encode(report)}
        yield pa.RecordBatch.from_pylist([row], schema=ROWS)


_spare = cache(garbage.spare)
"""Once a worker, for what it has imported: Spark asks for a collection of garbage after every task."""


def _write(task: Task, turn: Turn, batches: Iterable[pa.RecordBatch]) -> Report:
    started = time.perf_counter()
    report = Report()
    outbox = Outbox(task.kafka, task.updates_topic, task.dead_letter_topic, turn.claim.batch, task.security)
    mergers: dict[int, Merger] = {}
    for index, batch in cut(opened(batches)):
        report.rows += batch.num_rows
        if index < 0:
            _quarantine(task, -index - 1, batch, outbox, report)
            continue
        view = task.plan.views[index]
        outcome = report.views.setdefault(view.name, Outcome())
        if copies := turn.copies.get(view.source):
            batch = _without(batch, copies, outcome)
        if index not in mergers:
            mergers[index] = Merger(
                view,
                task.schemas[index],
                _connection(task.target),
                turn.claim,
                write_features=task.plan.write_features,
                emit=outbox.features if task.updates[index] else None,
            )
        columns = task.columns[index]
        reader = Reader(view, columns.values, columns.hashes)
        mergers[index].merge(reader.read(batch, turn.watermarks[index]), outcome)
    outbox.close()
    report.seconds = time.perf_counter() - started
    return report


def _without(batch: pa.RecordBatch, copies: Copies, outcome: Outcome) -> pa.RecordBatch:
    gone = copies.among(*(batch.column(name).to_numpy() for name in ("part", "offset")))
    outcome.duplicate += int(gone.sum())
    return batch.filter(pa.array(~gone)) if gone.any() else batch


def _quarantine(task: Task, number: int, batch: pa.RecordBatch, outbox: Outbox, report: Report) -> None:
    source = task.plan.sources[number]
    counts: Counter[str] = Counter(report.quarantined.get(source.name, {}))
    columns = (batch.column(name).to_pylist() for name in ("item", "part", "offset", "key"))
    for code, partition, offset, raw in zip(*columns, strict=True):
        outbox.quarantine(source, code, partition, offset, raw)
        counts[str(code)] += 1
    report.quarantined[source.name] = dict(counts)


def total(reports: Iterable[Report]) -> Report:
    """The tasks' reports added up; seconds are those of the slowest task, stages are sums."""
    whole = Report()
    for report in reports:
        whole.seconds = max(whole.seconds, report.seconds)
        whole.rows += report.rows
        for name, outcome in report.views.items():
            held = whole.views.setdefault(name, Outcome())
            for attribute in Outcome.__dataclass_fields__:
                if attribute == "seconds":
                    held.seconds = dict(Counter(held.seconds) + Counter(outcome.seconds))
                elif attribute == "newest":
                    held.newest = max(held.newest, outcome.newest)
                else:
                    setattr(held, attribute, getattr(held, attribute) + getattr(outcome, attribute))
        for source, counts in report.quarantined.items():
            whole.quarantined[source] = dict(Counter(whole.quarantined.get(source, {})) + Counter(counts))
    return whole
