"""Scores of prepared events: rings, features exact at each event, and Feast's on-demand views over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from serving.response import Column
from serving.scoring import columns
from serving.scoring.rings import Answer, Limits, ViewRings
from serving.scoring.services import INCLUDED, PREVIOUS, TIME, Formula, Service
from streaming.checkpoint import Offsets
from streaming.events import Chunk
from streaming.plan import Plan, View
from streaming.prepare import Prepared
from streaming.redis import meta, progress
from streaming.redis.bulk import Bulk

Answered = TypeVar("Answered")

REFRESH = 2_000
"""How old (ms) what the engine notes in Redis may be."""


@dataclass(frozen=True)
class Served:
    """A view's features as of the events of a batch, a row each; a row without the view's key is not `found`.

    `at` is the moment (ms) of each row. `withheld` are, by feature, the rows it is null in because the stream
    behind it was not read from its window's beginning on.
    """

    view: View
    columns: Mapping[str, Column]
    found: np.ndarray
    at: np.ndarray
    keys: Sequence[bytes | None]
    withheld: Mapping[str, np.ndarray]


class Inputs(Mapping[str, np.ndarray]):
    """Columns by name, each made when it is first asked for: `make` has what makes them."""

    def __init__(self, make: Mapping[str, Callable[[], np.ndarray]]) -> None:
        self._make = make
        self._made: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._made:
            self._made[name] = self._make[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._make

    def __iter__(self) -> Iterator[str]:
        return iter(self._make)

    def __len__(self) -> int:
        return len(self._make)


@dataclass(frozen=True)
class Scored:
    """Scores of the messages `rows` of a batch, by one service.

    `exact` says whether every view keyed as the topic held exactly what came before the event, and the event.
    `scores` are the outputs of its on-demand views, by name, and `inputs` the features and fields by short name.
    `keys` are the entities of the topic's key.
    """

    service: Service
    rows: np.ndarray
    keys: Sequence[bytes | None]
    exact: np.ndarray
    views: Mapping[str, Served]
    scores: Mapping[str, Any]
    inputs: Mapping[str, Any]

    @cached_property
    def score(self) -> np.ndarray:
        """The output that counts, NaN where it is null."""
        return columns.numbers(self.scores[self.service.score])

    @cached_property
    def plain(self) -> dict[str, list[Any]]:
        """`scores` as JSON values."""
        return columns.plains(self.service.outputs, self.scores)


@dataclass
class Share:
    """One view's part of one batch."""

    rings: ViewRings
    places: np.ndarray
    chunk: Chunk
    keys: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """One service's part of one batch: messages `rows` of the source `number`, and what each view has of them."""

    service: Service
    number: int
    rows: np.ndarray
    shares: Mapping[str, Share]


class Scorer:
    """Scores events of the sources that `services` score; not shared between threads.

    `connect` opens a connection to the Redis of the rings; it is asked again after RedisAway. `clock` is now, in ms.
    """

    def __init__(
        self,
        plan: Plan,
        services: Sequence[Service],
        connect: Callable[[], Bulk],
        clock: Callable[[], int],
        limits: Limits | None = None,
    ) -> None:
        self.plan = plan
        self.services = {service.source: service for service in services}
        self.clock = clock
        self.limits = limits or Limits()
        self._connect = connect
        self._bulk: Bulk | None = None
        self._views = {view.name: view for view in plan.views}
        self._numbers = {view.name: i for i, view in enumerate(plan.views)}
        self._rings: dict[str, ViewRings] = {}
        self._ends: dict[str, Offsets] = {}
        self._refreshed = -REFRESH

    @property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """The fields of each source's events that a Preparer must keep."""
        return {source: service.fields for source, service in self.services.items()}

    def score(self, prepared: Prepared, rows: np.ndarray, *, advance: bool = True) -> list[Scored]:
        """Score the messages `rows` (ascending): admitted, no duplicates, of a partition in the order of its offsets.

        With `advance` the rings then hold these events. Raises RedisAway, in which case nothing has changed, and
        TidemarkError for a ring that cannot be read.
        """
        return list(self.each(prepared, self.fetch(prepared, rows), advance=advance))

    def fetch(self, prepared: Prepared, rows: np.ndarray) -> list[Work]:
        """The first half of `score`, which asks Redis: every ring that these messages need is held afterwards."""
        self.refresh()
        work = []
        for number, source in enumerate(self.plan.sources):
            mine = rows[prepared.source[rows] == number]
            if source.name in self.services and len(mine):
                service = self.services[source.name]
                work.append(Work(service, number, mine, self._shares(service, prepared, mine)))
        self._load([share for one in work for share in one.shares.values()])
        return work

    def each(self, prepared: Prepared, work: Sequence[Work], *, advance: bool = True) -> Iterator[Scored]:
        """The second half, service by service, so that the first can be sent while the next is computed."""
        for one in work:
            yield self._scored(prepared, one, advance=advance)
        for one in work:
            for share in one.shares.values():
                share.rings.memory.trim()

    def refresh(self) -> None:
        """Learn what the engine notes of each view, if that is due. Raises RedisAway, ServiceError."""
        now = self.clock()
        if now - self._refreshed < REFRESH:
            return
        bulk = self._redis()
        identities: dict[int, Offsets] = {}
        for service in self.services.values():
            for name in service.views:
                view = self._views[name]
                noted = self._asked(partial(meta.load, bulk, view.project, view.stored_name))
                held = self._rings.get(name)
                if held is None or held.changed(noted):
                    self._rings[name] = self._new(service, view, noted, held)
                if noted.identity is not None and noted.identity not in identities:
                    ask = partial(progress.load, bulk, self.plan.project, noted.identity)
                    identities[noted.identity] = self._asked(ask)
                self._ends[name] = identities.get(noted.identity, {}) if noted.identity is not None else {}
                self._rings[name].recent.reached(self._end(name))
        self._refreshed = now

    def _new(self, service: Service, view: View, noted: meta.ViewMeta, held: ViewRings | None) -> ViewRings:
        """The view's rings anew; the recent events stay, whatever becomes of the rings in Redis."""
        fresh = ViewRings(
            view,
            noted,
            service.views[view.name],
            service.previous.get(view.name, ()),
            keyed=view.name in service.keyed,
            limits=self.limits,
        )
        if held is not None:
            fresh.recent = held.recent
        return fresh

    def _end(self, view: str) -> dict[int, int]:
        topic = next(s.topic for s in self.plan.sources if s.name == self._views[view].source)
        return {int(p): end for p, end in self._ends[view].get(topic, {}).items()}

    def forget(self) -> None:
        """Let go of every ring and event."""
        self._rings.clear()
        self._ends.clear()
        self._refreshed = -REFRESH
        self.close()

    def progress(self, source: str) -> dict[int, int] | None:
        """By partition of a source's topic, the offset below which every event is in the rings of every keyed view.

        None when no lane has claimed one of them: there are no rings. Raises RedisAway.
        """
        self.refresh()
        keyed = self.services[source].keyed
        if any(self._rings[view].meta.identity is None for view in keyed):
            return None
        ends = [self._end(view) for view in keyed]
        return {p: min(end.get(p, 0) for end in ends) for p in (set[int]().union(*ends) if ends else ())}

    def begin(self, source: str, partition: int, offset: int) -> None:
        """From `offset` on, every event of this partition will pass `score`."""
        for view in self.services[source].keyed:
            self._rings[view].recent.since[partition] = offset

    def remember(self, prepared: Prepared, rows: np.ndarray) -> None:
        """Take in events that were scored before, so that a ring from Redis can be brought up to date."""
        for number, source in enumerate(self.plan.sources):
            mine = rows[prepared.source[rows] == number]
            if source.name not in self.services or not len(mine):
                continue
            for name in self.services[source.name].keyed:
                _, chunk = prepared.chunk(self._numbers[name], mine)
                self._rings[name].recent.add(chunk)

    def drop(self, source: str, partition: int) -> None:
        """Forget what is held of a partition, which another process reads now."""
        for view in self.services[source].views:
            if view in self._rings:
                self._rings[view].memory.drop(partition)
                self._rings[view].recent.drop(partition)

    def close(self) -> None:
        """Let go of the connection."""
        if self._bulk is not None:
            self._bulk.close()
            self._bulk = None

    @property
    def held(self) -> dict[str, int]:
        """Entities held, by view."""
        return {name: len(rings.memory) for name, rings in self._rings.items()}

    def _redis(self) -> Bulk:
        if self._bulk is None:
            self._bulk = self._connect()
        return self._bulk

    def _asked(self, question: Callable[[], Answered]) -> Answered:
        """The answer; a connection that failed is not used again."""
        try:
            return question()
        except Exception:
            self.close()
            raise

    def _shares(self, service: Service, prepared: Prepared, rows: np.ndarray) -> dict[str, Share]:
        found = {}
        for name in service.views:
            places, chunk = prepared.chunk(self._numbers[name], rows)
            found[name] = Share(self._rings[name], places, chunk)
        return found

    def _load(self, shares: Sequence[Share]) -> None:
        """Fetch the rings that are not held, of all views in one round trip."""
        now = self.clock()
        wanted: list[bytes] = []
        fields: list[tuple[bytes, ...]] = []
        for share in shares:
            share.keys = share.rings.missing(share.chunk.keys, now)
            wanted += share.rings.redis_keys(share.keys)
            fields += [share.rings.memory.codec.fields] * len(share.keys)
        if not wanted:
            return
        bulk = self._redis()
        replies = self._asked(partial(bulk.hmget_each, wanted, fields))
        for share in shares:
            mine, replies = replies[: len(share.keys)], replies[len(share.keys) :]
            share.rings.load(share.keys, mine, self._end(share.rings.view.name), now)

    def _scored(self, prepared: Prepared, work: Work, *, advance: bool) -> Scored:
        service, number, rows = work.service, work.number, work.rows
        exact = np.ones(len(rows), bool)
        views, before = {}, {}
        keys: Sequence[bytes | None] = [None] * len(rows)
        for name, share in work.shares.items():
            answer = share.rings.answer(share.chunk, advance=advance)
            where = np.searchsorted(rows, share.places)
            views[name] = served = _served(share.rings, answer, share.chunk, where, len(rows))
            if share.rings.keyed:
                exact[where] &= answer.exact
                keys = served.keys
                if advance:
                    share.rings.recent.add(share.chunk)
            for feature, values in answer.before.values.items():
                dtype = next(f.dtype for f in share.rings.shown.features if f.name == feature)
                column = Column.of(dtype, *_scattered(values, answer.before.valid[feature], where, len(rows)))
                before[name, feature] = column
        inputs = _inputs(service, views, before, prepared.fields(number, rows), prepared.time[rows])
        scores: dict[str, Any] = {}
        for formula in service.formulas:
            given = _given(formula, inputs)
            made = formula.udf(given if formula.arrays else columns.frame(given))
            scores |= {name: np.asarray(made[name]) for name in formula.outputs}
        return Scored(service, rows, keys, exact, views, scores, inputs)


def _served(rings: ViewRings, answer: Answer, chunk: Chunk, where: np.ndarray, count: int) -> Served:
    found = np.zeros(count, bool)
    found[where] = True
    at = np.zeros(count, np.int64)
    at[where] = answer.at
    keys: list[bytes | None] = [None] * count
    for place, key in zip(where.tolist(), chunk.keys, strict=True):
        keys[place] = key
    shown = {
        f.name: Column.of(
            f.dtype, *_scattered(answer.features.values[f.name], answer.features.valid[f.name], where, count)
        )
        for f in rings.shown.features
    }
    lacking: dict[int, np.ndarray] = {}
    for whole in answer.whole.values():
        if id(whole) not in lacking:
            lacking[id(whole)] = np.zeros(count, bool)
            lacking[id(whole)][where] = ~whole
    withheld = {name: lacking[id(whole)] for name, whole in answer.whole.items()}
    return Served(rings.view, shown, found, at, keys, withheld)


def _scattered(
    values: np.ndarray, valid: np.ndarray, where: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    if len(where) == count:
        return values, valid
    whole, known = np.zeros(count, values.dtype), np.zeros(count, bool)
    whole[where], known[where] = values, valid
    return whole, known


def _inputs(
    service: Service,
    views: Mapping[str, Served],
    before: Mapping[tuple[str, str], Column],
    fields: Mapping[str, Any],
    time: np.ndarray,
) -> Inputs:
    """Everything that a formula may ask for: features by short and by full name, and what it requests."""
    found: dict[str, Callable[[], np.ndarray]] = {}
    for view, served in views.items():
        for feature, column in served.columns.items():
            found[feature] = found[f"{view}__{feature}"] = partial(columns.shown, column)
    for (_, feature), column in before.items():
        found[f"{PREVIOUS}{feature}"] = partial(columns.shown, column)
    found |= {name: partial(columns.parsed, field) for name, field in fields.items()}
    found |= {TIME: partial(columns.moments, time), INCLUDED: partial(np.ones, len(time), bool)}
    return Inputs(found)


def _given(formula: Formula, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an on-demand view, as Feast gives them."""
    given = {name: inputs[name] for name in formula.request}
    for view, feature in formula.features:
        name = f"{view}__{feature}"
        given[feature] = given[name] = inputs[name]
    return given
