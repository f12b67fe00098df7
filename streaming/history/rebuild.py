"""Rings from history: what an undisturbed lane would have written, through the same merge and the same fence.

A checkpoint that has finished batches keeps them: the rings get every event below its last batch's end, and
the lane goes on with the next batch. A new checkpoint begins where history ends:

    history   o o o o o o o o o o o o|
    rings     ==== rebuilt ==========>|
    lane                              |--- batch 0 --- batch 1 --->
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial, reduce

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming import duplicates
from streaming.action import Action
from streaming.archive.ledger import MarkedCheckpoint
from streaming.checkpoint import BEFORE_FIRST, Checkpoint, Entry, Offsets
from streaming.duplicates import Finder
from streaming.errors import TidemarkError
from streaming.history import store
from streaming.history.events import Events
from streaming.lanes import batch
from streaming.lanes.keeper import Keeper
from streaming.lanes.topics import BEGINNING
from streaming.merger import Claim
from streaming.plan import Plan, Source
from streaming.query import Query
from streaming.settings import LaneSettings
from streaming.task import Task, Work

SLICE, TASK = 2_000_000, 250_000
"""Events of a pass (whole days, so a long day is one pass), and of one task in it: what a worker holds at once."""
Advance = Callable[[int, int], None]
"""Is told the events done and those of all passes."""


@dataclass(frozen=True)
class Rebuilt:
    """`events` read, `rows` merged (one for each view of an event), `batch` the rings are now at, and how long."""

    events: int
    rows: int
    batch: int
    seconds: float


@dataclass
class Rebuild:
    """Of the views of `plan`, for the lane on `checkpoint`, from the history at `root`.

    `archive` is the checkpoint of the history lane: it knows up to which offsets history is whole. `every`
    says that the plan has all views of the lane. The rings must have been deleted.
    """

    plan: Plan
    checkpoint: Checkpoint
    settings: LaneSettings
    spark: SparkSession
    root: str
    archive: str
    every: bool = True
    clock: Callable[[], float] = time.time
    advance: Advance = field(default=lambda done, total: None)

    def run(self, clear: Callable[[], object]) -> Rebuilt:
        """Call `clear`, which deletes the rings, and write them anew.

        Raises HistoryError when history does not reach as far as the lane, FencedError when a lane is
        running, TidemarkError. After a failure the lane does not start before a rebuild has ended.
        """
        begun = time.perf_counter()
        last, end = self._target()
        query = Query(self.spark, self.plan, self.plan.sources[0].bootstrap_servers, 1, self._tasks(1))
        keeper = Keeper(self.plan, self.checkpoint, self.settings, self.clock)
        self.checkpoint.begin_rebuild()
        with keeper.rebuild(every=self.every):
            clear()
            keeper.claim()
            task = self._task(query, keeper)
            slices = list(self._slices(end))
            total, done, rows = sum(count for *_, count in slices), 0, 0
            for n, (first, until, count) in enumerate(slices):
                self.advance(done, total)
                # Ascending, and no later than the lane's: an entity is merged once in each pass.
                number = last - len(slices) + 1 + n
                claim = Claim(self.checkpoint.identity, keeper.epoch, number)
                events = query.projection.project(self._events(end, first, until))
                frame = query.projection.rows(events, self._tasks(count))
                work = partial(Action.of, frame.mapInArrow(Work(task), duplicates.OUTPUT))
                entry = Entry(number, {}, {}, {})
                turn = batch.turn_of(self.plan, claim, entry, self.checkpoint, ())
                rows += batch.run(work, turn, entry, self.plan.sources).report.rows
                done += count
            if last == BEFORE_FIRST:
                self._begin_at(query, end)
            since = {source.name: self._since(source) for source in self.plan.sources}
            keeper.rebuilt(self._entry(last), {view.name: since[view.source] for view in self.plan.views})
            self.checkpoint.end_rebuild()
        self.advance(total, total)
        return Rebuilt(total, rows, last, time.perf_counter() - begun)

    @property
    def _arrivals(self) -> str:
        return f"{self.archive.rstrip('/')}/arrivals"

    @cached_property
    def _history(self) -> Entry:
        """The last batch that is in history for good."""
        held = MarkedCheckpoint(self._arrivals)
        entry = held.entry(held.last_committed())
        if entry is None:
            raise store.HistoryError(
                f"there is no history lane's checkpoint in {self.archive}: run `tidemark stream history` first, or name "
                "it with --history-checkpoint"
            )
        return entry

    def _target(self) -> tuple[int, Offsets]:
        """The batch that the rings are to hold, and the offsets at its end."""
        last = self.checkpoint.last_committed()
        if last < 0:
            if self.checkpoint.planned():
                raise TidemarkError(
                    f"the lane on {self.checkpoint.location} has not finished its first batch: give --checkpoint an "
                    "empty folder"
                )
            if not self.every:
                raise TidemarkError(
                    f"{self.checkpoint.location} is a new checkpoint: rebuild all views, without --views"
                )
            return BEFORE_FIRST, self._history.end
        end = self._entry(last).end
        for source in self.plan.sources:
            for partition, wanted in end.get(source.topic, {}).items():
                held = self._history.end.get(source.topic, {}).get(partition, 0)
                if held < wanted:
                    raise store.HistoryError(
                        f"history is {wanted - held} messages behind the lane in {source.topic}/{partition}: run "
                        "`tidemark stream history --until-caught-up` first"
                    )
        return last, end

    def _entry(self, number: int) -> Entry:
        entry = self.checkpoint.entry(number)
        if entry is None:
            raise TidemarkError(
                f"the ledger in {self.checkpoint.location} does not know batch {number}: give --checkpoint an empty folder"
            )
        return entry

    def _tasks(self, events: int) -> int:
        cores = self.spark.sparkContext.defaultParallelism
        # Each event makes a row for each of its source's views.
        views = max(len(self.plan.of_source(source.name)) for source in self.plan.sources)
        return max(cores, -(-events * views // TASK))

    def _below(self, source: Source, end: Offsets) -> Column:
        """Whether an event came before `end`."""
        held = F.lit(False)
        for partition, offset in end.get(source.topic, {}).items():
            held = held | ((F.col("_partition") == int(partition)) & (F.col("_offset") < offset))
        return held

    def _slices(self, end: Offsets) -> Iterator[tuple[date, date, int]]:
        """First and last event date of each pass, and its number of events."""
        days: dict[date, int] = {}
        for source in self.plan.sources:
            events = store.events(self.spark, self.root, source.name).where(self._below(source, end))
            for row in events.groupBy("event_date").count().collect():
                days[row.event_date] = days.get(row.event_date, 0) + row["count"]
        passed: list[date] = []
        for day in sorted(days):
            if passed and sum(days[d] for d in [*passed, day]) > SLICE:
                yield passed[0], passed[-1], sum(days[d] for d in passed)
                passed = []
            passed.append(day)
        if passed:
            yield passed[0], passed[-1], sum(days[d] for d in passed)

    def _events(self, end: Offsets, first: date, until: date) -> DataFrame:
        """What the lane's parse would have given of all sources' events of some days."""
        return self._together(end, lambda _: F.col("event_date").between(F.lit(first), F.lit(until)))

    def _recent(self, end: Offsets, horizon: int) -> DataFrame:
        """The events that arrived within `horizon` ms of the newest."""

        def late(held: DataFrame) -> Column:
            newest = held.agg(F.unix_millis(F.max("_arrived"))).head()
            return F.unix_millis("_arrived") >= (newest[0] or 0) - horizon if newest else F.lit(True)

        return self._together(end, late)

    def _together(self, end: Offsets, chosen: Callable[[DataFrame], Column]) -> DataFrame:
        events = Events(self.spark, self.plan, self.root)
        frames = []
        for number, source in enumerate(self.plan.sources):
            held = store.events(self.spark, self.root, source.name).where(self._below(source, end))
            frames.append(events.admitted(held.where(chosen(held)), number))
        return reduce(DataFrame.unionByName, frames)

    def _task(self, query: Query, keeper: Keeper) -> Task:
        return Task(
            self.plan,
            keeper.target,
            query.projection.views,
            keeper.schemas,
            query.bootstrap,
            self.settings.updates_topic,
            self.settings.dead_letter_topic,
            (False,) * len(self.plan.views),
        )

    def _begin_at(self, query: Query, end: Offsets) -> None:
        """Have the lane start where history ends, with the watermarks and the event ids of then."""
        watermarks = MarkedCheckpoint(self._arrivals).after().watermarks
        partitions = query.partitions if query.deduplicates else 0
        cut = int(self.clock() * 1000)
        if partitions:
            recent = query.projection.project(self._recent(end, query.horizon))
            rows = query.projection.rows(recent, partitions, identities=True)
            finder = Finder(
                self.checkpoint,
                self.checkpoint.identity,
                BEFORE_FIRST,
                partitions,
                (),
                ({},) * len(self.plan.sources),
            )
            Action.of(rows.mapInArrow(finder, duplicates.OUTPUT)).collect(range(partitions))
        self.checkpoint.record(Entry(BEFORE_FIRST, {}, end, watermarks, cut, partitions))

    def _since(self, source: Source) -> int:
        """Event time (ms) from which on history has every event of a source."""
        held = MarkedCheckpoint(self._arrivals)
        first = held.entry(0)
        begins = list(first.start.get(source.topic, {}).values()) if first else [1]
        events = store.events(self.spark, self.root, source.name)
        since = BEGINNING
        if any(begins):
            arrived = events.agg(F.unix_millis(F.min("_arrived"))).head()
            since = (
                arrived[0] if arrived and arrived[0] else int(self.clock() * 1000)
            ) + source.max_future_skew
        if self._thinned(source):
            # Old days were deleted whole: the oldest that is left is whole too.
            oldest = events.agg(F.unix_millis(F.min("event_date").cast("timestamp"))).head()
            since = max(since, oldest[0] if oldest and oldest[0] else int(self.clock() * 1000))
        return since

    def _thinned(self, source: Source) -> bool:
        table = DeltaTable.forPath(self.spark, store.events_path(self.root, source.name))
        return not table.history().where("operation = 'DELETE'").isEmpty()
