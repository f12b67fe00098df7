"""Features of one stream view, computed from the rings of its entities at the moment of a read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from serving import moment
from serving.response import Column, feature_vectors, single_vectors
from serving.single import SingleRing, newest_event
from streaming.evaluation import Evaluator, since
from streaming.plan import View, Window
from streaming.redis.wire import EntityKeys
from streaming.ring import Headers, RingCodec, Schemas
from streaming.tiles import Tiles

LeadingEdge = Literal["wall_clock", "latest_event"]
Replies = Sequence[Sequence[bytes | None]]
"""Header, head and tail of each entity, None where Redis has none."""

NEVER = 1 << 62
"""A `complete_since` that no moment reaches."""


@dataclass(frozen=True)
class Moment:
    """When a read is for: `now` (ms), the caller's `as_of` if any, and the store's leading edge."""

    now: int
    as_of: int | None = None
    edge: LeadingEdge = "wall_clock"

    def at(self, newest: int) -> int:
        """The time (ms) at which an entity is evaluated whose newest event is at `newest`.

        Raises AsOfError when `as_of` is before it: a ring does not remember what it was.
        """
        if self.as_of is not None and newest > self.as_of:
            raise moment.AsOfError(
                f"as_of {moment.text(self.as_of)} is before the entity's newest event at {moment.text(newest)}: "
                "ask for a later moment, or use get_historical_features for the past"
            )
        if self.edge == "latest_event":
            return newest
        return max(newest, self.now if self.as_of is None else self.as_of)

    def each(self, newest: np.ndarray) -> np.ndarray:
        """`at` of many entities."""
        if len(newest):
            self.at(int(newest.max()))
        if self.edge == "latest_event":
            return newest
        return np.maximum(newest, self.now if self.as_of is None else self.as_of)


@dataclass(frozen=True)
class Rows:
    """Features of the entities of a request; `incomplete` maps those not yet whole to when they will be (ms)."""

    columns: list[Column]
    found: np.ndarray
    newest: np.ndarray
    incomplete: dict[str, int] = field(default_factory=dict)

    def vectors(self, rows: np.ndarray) -> bytes:
        """As `feature_vectors`."""
        return feature_vectors(self.columns, self.found, self.newest, rows)

    def present(self, rows: np.ndarray) -> int:
        """How many values are of known entities."""
        return int(self.found[rows].sum()) * len(self.columns)


@dataclass(frozen=True)
class Row:
    """Features of a request for one entity."""

    dtypes: tuple[str, ...]
    values: list[Any]
    found: bool
    newest: int
    incomplete: dict[str, int] = field(default_factory=dict)

    def vectors(self, rows: np.ndarray) -> bytes:
        """As `feature_vectors`."""
        if len(rows) == 1:
            return single_vectors(self.dtypes, self.values, self.found, self.newest)
        return feature_vectors(self._columns(), np.array([self.found]), np.array([self.newest]), rows)

    def _columns(self) -> list[Column]:
        return [
            Column.of(dtype, np.array([value or 0]), np.array([value is not None]))
            for dtype, value in zip(self.dtypes, self.values, strict=True)
        ]

    def present(self, rows: np.ndarray) -> int:
        return len(self.values) * len(rows) if self.found else 0


class ViewReader:
    """Reads `view`. `schemas` are its older layouts; `complete_since` says from when on (ms) the stream
    behind each feature was read without a gap, NEVER or absent where that is not so."""

    def __init__(self, view: View, schemas: Schemas, complete_since: Mapping[str, int]) -> None:
        self.view = view
        self.keys = EntityKeys(view.project, view.join_keys)
        self._codec = RingCodec(view, schemas)
        self.fields = self._codec.fields
        self._evaluator = Evaluator(view)
        self._single = SingleRing(view)
        self._plans: dict[tuple[str, ...], tuple[list[int], tuple[str, ...]]] = {}
        self._dtypes = {f.name: f.dtype for f in view.features}
        self._windows = {f.name: f.window for f in view.features}
        self._since = {f.name: complete_since.get(f.name, NEVER) for f in view.features}
        self._latest = [
            (w, max(self._since[f.name] for f in view.features if f.window == w)) for w in view.windows
        ]

    def read(self, replies: Replies, at: Moment, names: tuple[str, ...]) -> Rows | Row:
        """The features `names`; one that no aggregation computes is null.

        Raises TidemarkError for a ring that cannot be read, AsOfError as `Moment.at`.
        """
        if len(replies) == 1:
            row = self._read_one(replies[0], at, names)
            if row is not None:
                return row
        return self._read_many(replies, at, names)

    def _read_one(self, reply: Sequence[bytes | None], at: Moment, names: tuple[str, ...]) -> Row | None:
        header, head, tail = reply
        places, dtypes = self._asked(names)
        if not header:
            return Row(dtypes, [None] * len(names), False, 0) if not head and not tail else None
        newest = newest_event(header) if self._single.able else None
        ring = self._single.decode(head, tail) if newest is not None else None
        if newest is None or ring is None:
            return None
        t = at.at(newest)
        values = self._single.evaluate(ring, t)
        if values is None:
            return None
        incomplete = self._incomplete(t, names)
        for name in incomplete:
            values[self._single.places[name]] = None
        values.append(None)
        return Row(dtypes, [values[place] for place in places], True, newest, incomplete)

    def _asked(self, names: tuple[str, ...]) -> tuple[list[int], tuple[str, ...]]:
        """Place among a single ring's values (-1 for none) and type of each name."""
        if names not in self._plans:
            if len(self._plans) > 1_000:
                self._plans = {}
            places = [self._single.places.get(name, -1) for name in names]
            self._plans[names] = places, tuple(self._dtypes.get(name, "DOUBLE") for name in names)
        return self._plans[names]

    def _read_many(self, replies: Replies, at: Moment, names: tuple[str, ...]) -> Rows:
        headers = self._codec.decode_headers([reply[0] for reply in replies])
        newest, found = headers.newest, headers.present
        everyone = bool(found.all())
        times = np.zeros_like(newest)
        times[found] = at.each(newest[found])
        features = self._evaluator(self._tiles(headers, replies), times)
        incomplete = self._incomplete(int(times[found].min()), names) if found.any() else {}
        columns = []
        for name in names:
            if name not in self._dtypes:
                columns.append(Column("DOUBLE", np.zeros(len(found)), np.zeros(len(found), bool)))
                continue
            valid = features.valid[name] if everyone else features.valid[name] & found
            if name in incomplete:
                valid = valid & (since([self._windows[name]], times)[:, 0] >= self._since[name])
            columns.append(Column.of(self._dtypes[name], features.values[name], valid))
        return Rows(columns, found, newest, incomplete)

    def _tiles(self, headers: Headers, replies: Replies) -> Tiles:
        """Both levels of every ring, decoded at once: a tail before its head, so that tiles come in order."""
        blobs = [blob for _, head, tail in replies for blob in (tail, head)]
        both = self._codec.decode_tiles(replace(headers, present=np.repeat(headers.present, 2)), blobs)
        items = replace(both.items, entity=both.items.entity >> 1)
        return replace(both, entity=both.entity >> 1, items=items)

    def _incomplete(self, at: int, names: tuple[str, ...]) -> dict[str, int]:
        """Features whose window at `at` reaches further back than the stream was read, and until when."""
        if all(window.start(at) >= latest for window, latest in self._latest):
            return {}
        return {
            name: whole_at(self._windows[name], self._since[name])
            for name in names
            if name in self._windows and self._windows[name].start(at) < self._since[name]
        }


@lru_cache(maxsize=1024)
def whole_at(window: Window, complete_since: int) -> int:
    """The first moment (ms) at which `window` begins at or after `complete_since`; NEVER stays NEVER."""
    if complete_since >= NEVER:
        return NEVER
    return -(-(complete_since + window.length) // window.slide) * window.slide - window.slide
