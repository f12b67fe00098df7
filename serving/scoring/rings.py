"""One view's share of the scoring lane: the rings it holds, and its features as of each event."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from serving.reader import NEVER
from serving.scoring import moments
from serving.scoring.held import Memory, Rings
from serving.scoring.moments import Sight
from serving.scoring.recent import Recent
from streaming import tiles as t
from streaming.evaluation import Evaluator, Features, since
from streaming.events import Chunk
from streaming.merger import entities
from streaming.parts import I64
from streaming.plan import View
from streaming.redis.meta import ViewMeta
from streaming.redis.wire import EntityKeys

BEGINNING = 0


@dataclass(frozen=True)
class Limits:
    """How much one view may hold: `memory` in bytes of rings, `recent` in events; `fresh` is how long (ms) a
    ring serves that is not the lane's own to advance."""

    memory: int = 256 << 20
    recent: int = 500_000
    fresh: int = 500


@dataclass(frozen=True)
class Answer:
    """Features as of each event of a chunk, one row each.

    `exact` says that they hold every event of the entity up to this one and none after it. `whole` (by feature)
    says whether the stream behind the feature was read from its window's beginning on; where it was not, the
    feature is not valid. `before` are the features asked for as `previous`, at the same moments without the event.
    """

    at: np.ndarray
    features: Features
    whole: Mapping[str, np.ndarray]
    exact: np.ndarray
    before: Features


class ViewRings:
    """Rings of `view`; `keyed` says that its entity is the topic's key, so that its events are all in one partition.

    A keyed ring is advanced by every event. Another one is as fresh as the online lane's, and each event is added
    for its own answer alone. `names` are the features wanted, `previous` those wanted without the event too.
    """

    def __init__(
        self,
        view: View,
        meta: ViewMeta,
        names: Sequence[str],
        previous: Sequence[str] = (),
        *,
        keyed: bool,
        limits: Limits | None = None,
    ) -> None:
        self.view, self.meta, self.keyed = view, meta, keyed
        self.limits = limits or Limits()
        self.keys = EntityKeys(view.project, view.join_keys)
        self.memory = Memory(view, meta.layouts, self.limits.memory)
        self.recent = Recent(view, self.limits.recent)
        self.names, self.previous = tuple(names), tuple(previous)
        wanted = [f for f in view.features if f.name in {*names, *previous}]
        self.shown = replace(view, features=tuple(wanted))
        self._evaluator = Evaluator(self.shown)
        self._since = {
            f.name: (
                self.shown.windows.index(f.window),
                meta.complete_since[f.name] if meta.features.get(f.name) == f else NEVER,
            )
            for f in wanted
        }

    @cached_property
    def _before(self) -> Evaluator:
        """The evaluator of `previous`, over no more than the columns that these need."""
        features = tuple(f for f in self.view.features if f.name in self.previous)
        if any(f.function == "count_distinct" for f in features):
            return Evaluator(replace(self.view, features=features))
        columns = {f.column for f in features}
        kept = tuple(s for s in self.view.slots if s.column in columns and s.part != "distinct")
        return Evaluator(replace(self.view, features=features, slots=kept or self.view.slots))

    def changed(self, meta: ViewMeta) -> bool:
        """Whether what the engine notes of the view is not what the held rings were read with."""
        return meta != self.meta

    def missing(self, keys: Sequence[bytes], now: int) -> list[bytes]:
        """Those of `keys`, each once, whose rings must come from Redis."""
        oldest = -1 if self.keyed else now - self.limits.fresh
        found = []
        for key in dict.fromkeys(keys):
            held = self.memory.get(key)
            if held is None or held.at < oldest:
                found.append(key)
        return found

    def redis_keys(self, keys: Sequence[bytes]) -> list[bytes]:
        """Where these entities are in Redis."""
        return self.keys.encode(entities(self.view, list(keys))) if keys else []

    def load(
        self,
        keys: Sequence[bytes],
        replies: Sequence[Sequence[bytes | None]],
        ends: Mapping[int, int],
        now: int,
    ) -> None:
        """Hold rings as Redis returned them, with the events the lane has read since.

        `ends` is how far the online lane had come before they were asked for. Raises TidemarkError for a ring
        that cannot be read.
        """
        if not keys:
            return
        rings = self.memory.received(replies)
        whole = True
        if self.keyed:
            whole = all(ends.get(p, BEGINNING) >= begin for p, begin in self.recent.since.items())
            rings = self._caught_up(keys, rings)
        self.memory.load(keys, rings, now, whole=whole)

    def _caught_up(self, keys: Sequence[bytes], rings: Rings) -> Rings:
        more, places = self.recent.beyond(keys, rings.offsets)
        if more is None:
            return rings
        newest = rings.newest.copy()
        offsets = [dict(held) for held in rings.offsets]
        for entity, partition, offset, time in places:
            offsets[entity][partition] = max(offsets[entity].get(partition, -1), offset)
            newest[entity] = max(newest[entity], time)
        return Rings(newest, offsets, t.concat(self.view.slots, [rings.tiles, more]))

    def answer(self, chunk: Chunk, *, advance: bool = True) -> Answer:
        """Features as of each event of `chunk`, which has them apart; their rings are held.

        With `advance` the rings then hold these events. Without it an event that has no place in Kafka yet may be
        answered, by an offset beyond any other.
        """
        places: dict[bytes, int] = {}
        entity = np.array([places.setdefault(key, len(places)) for key in chunk.keys], I64)
        held = [self.memory.get(key) for key in places]
        if any(one is None for one in held):
            raise KeyError(f"a ring of view {self.view.name} is not held: load what is missing first")
        known = [one for one in held if one is not None]
        rings = self.memory.rings(known)
        reached = rings.reached(entity, chunk.part)
        fresh = chunk.offset > reached
        sees = moments.in_turn if self.keyed else moments.alone
        sight = sees(entity, chunk.newest, fresh, rings.newest)
        whole = np.array([one.whole for one in known], bool)
        exact = (
            (fresh | (chunk.offset == reached)) & whole[entity] if self.keyed else np.ones(len(entity), bool)
        )
        tiles = moments.together(rings.tiles, chunk.tiles)
        features = self._evaluator(
            tiles, sight.at, moments.seen(rings.tiles, chunk.tiles.items, sight, len(known))
        )
        complete = self._complete(sight.at)
        valid = {n: v & complete[n] if n in complete else v for n, v in features.valid.items()}
        before = self._previous(tiles, rings, chunk, sight, complete)
        if advance and self.keyed:
            self._advance(chunk, fresh)
        return Answer(sight.at, Features(features.values, valid), complete, exact, before)

    def _complete(self, at: np.ndarray) -> dict[str, np.ndarray]:
        """Which moments each feature is whole at; only features that some moment reaches too far back for."""
        if not len(at):
            return {}
        begins = since(self.shown.windows, at).T
        earliest = begins.min(axis=1).tolist()
        whole = {
            (window, begin): begins[window] >= begin
            for window, begin in set(self._since.values())
            if earliest[window] < begin
        }
        return {name: whole[key] for name, key in self._since.items() if key in whole}

    def _previous(
        self, tiles: t.Tiles, rings: Rings, chunk: Chunk, sight: Sight, complete: Mapping[str, np.ndarray]
    ) -> Features:
        if not self.previous:
            return Features({}, {})
        seen = moments.seen(rings.tiles, chunk.tiles.items, sight.before(), len(rings.newest))
        found = self._before(tiles, sight.at, seen)
        valid = {
            n: v & complete[n] & sight.fresh if n in complete else v & sight.fresh
            for n, v in found.valid.items()
        }
        return Features(found.values, valid)

    def _advance(self, chunk: Chunk, fresh: np.ndarray) -> None:
        packed = self.memory.packing.pack(chunk.tiles, len(fresh))
        columns = (chunk.keys, chunk.newest.tolist(), chunk.part.tolist(), chunk.offset.tolist(), packed)
        for key, time, part, offset, tiles in itertools.compress(zip(*columns, strict=True), fresh.tolist()):
            self.memory.append(key, time, part, offset, tiles)
        self.memory.settle(chunk.keys)
