"""A lane without Kafka, Spark and Redis: batches of events in, rings kept as bytes, features out.

It does with the engine's functions what the online lane does with them, entity by entity: decode the
head, merge, fold into the tail when it is due, encode, and read head and tail back to evaluate.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streaming import tiles
from streaming.aggregates import AGGREGATES, ALIASES, aggregate
from streaming.parts import Values, order_key
from streaming.plan import Feature, Kind, Slot, View, Window
from streaming.ring import Headers, Offsets, RingCodec, Schemas

Event = tuple[int, int, int, Mapping[str, Any]]
"""(event time ms, partition, offset, values by column), as the oracle takes them."""

COLUMNS: dict[str, Kind] = {"amount": "f64", "points": "i64", "shop": "str"}
DTYPES = {"f64": np.float64, "i64": np.int64, "str": object}
NUMERIC = ("sum", "mean", "std", "var", "std_pop", "var_pop")
NOTHING = {"f64": 0.0, "i64": 0, "str": None}


def make_view(*windows: tuple[int, int], functions: Sequence[str] = tuple(AGGREGATES), k: int = 64) -> View:
    """A view with every function over every column it is defined for, in each (length, slide)."""
    features = [Feature(f"events_{w}_{s}", "count", "", Window(w, s), "INT64") for w, s in windows]
    for length, slide in windows:
        for column, kind in COLUMNS.items():
            for name in functions:
                if kind != "str" or ALIASES.get(name, name) not in NUMERIC:
                    full = f"{column}_{name}_{length}_{slide}"
                    features.append(Feature(full, name, column, Window(length, slide), "DOUBLE"))
    slots: list[Slot] = []
    for feature in features:
        needed = aggregate(feature.function).slots(feature.column, COLUMNS.get(feature.column, "i64"))
        slots += [slot for slot in needed if slot not in slots]
    view = View("spend", "spend", "shop", "orders", (("user_id", "STRING"),), tuple(features), tuple(slots))
    return replace(view, distinct_k=k)


def is_value(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def hash64(value: Any) -> int:
    value = value + 0.0 if isinstance(value, float) else value  # -0.0 is 0.0, for Spark's xxhash64 too
    return int.from_bytes(hashlib.blake2b(repr(value).encode(), digest_size=8).digest(), "little")


def lift(view: View, rows: Sequence[tuple[int, Event]]) -> tiles.Tiles:
    """Unmerged tiles of (entity, event) rows."""

    def numbers(place: int) -> np.ndarray:
        return np.array([event[place] for _, event in rows], np.int64)

    values, hashes = {}, {}
    for column, kind in COLUMNS.items():
        held = [event[3].get(column) for _, event in rows]
        data = np.empty(len(rows), DTYPES[kind])
        # NaN and infinities stay: it is the engine that must take them for nulls.
        data[:] = [NOTHING[kind] if value is None else value for value in held]
        values[column] = Values(data, np.array([value is not None for value in held], bool))
        hashes[column] = np.array([hash64(value) for value in held], np.uint64)
    entity = np.array([entity for entity, _ in rows], np.int64)
    order = order_key(numbers(0) * 1000, numbers(1), numbers(2))
    return tiles.lift(view, entity, numbers(0), order, values, hashes)


@dataclass
class SmallLane:
    """The rings of `entities` entities of one view, and all events fed to each."""

    view: View
    entities: int = 1
    schemas: Schemas | None = None
    events: list[list[Event]] = field(default_factory=list)
    folds: int = 0

    def __post_init__(self) -> None:
        self.codec = RingCodec(self.view, self.schemas)
        self.headers: list[bytes | None] = [None] * self.entities
        self.heads: list[bytes | None] = [None] * self.entities
        self.tails: list[bytes | None] = [None] * self.entities
        self.events = [[] for _ in range(self.entities)]
        self.batch = 0

    @property
    def newest(self) -> np.ndarray:
        return np.array([max((e[0] for e in events), default=0) for events in self.events], np.int64)

    def feed(self, rows: Sequence[tuple[int, Event]]) -> None:
        """One micro-batch."""
        for entity, event in rows:
            self.events[entity].append(event)
        self.batch += 1
        newest = self.newest
        known = self.codec.decode_headers(self.headers)
        merged = tiles.merge(
            self.view, [self.codec.decode_tiles(known, self.heads), lift(self.view, rows)], newest
        )
        folded = tiles.fold(self.view, merged, newest)
        self.folds += int(folded.sum())
        due = [tail if fold else None for tail, fold in zip(self.tails, folded, strict=True)]
        merged = tiles.merge(self.view, [merged, self.codec.decode_tiles(known, due)], newest)
        head, tail = tiles.split(self.view, merged, newest, folded)
        self.heads = list(self.codec.encode_tiles(head, self.entities))
        for entity, blob in enumerate(self.codec.encode_tiles(tail, self.entities)):
            if folded[entity]:
                self.tails[entity] = blob
        self._write_headers(newest)

    def _write_headers(self, newest: np.ndarray) -> None:
        seen = [bool(events) for events in self.events]
        ones = np.ones(self.entities, np.int64)
        headers = Headers(
            np.array(seen),
            ones,
            ones.astype(np.uint64),
            ones * self.batch,
            ones * self.view.schema_id,
            newest,
            Offsets.none(),
        )
        blobs = self.codec.encode_headers(headers)
        self.headers = [blob if present else None for blob, present in zip(blobs, seen, strict=True)]

    def tiles(self) -> tiles.Tiles:
        known = self.codec.decode_headers(self.headers)
        levels = [self.codec.decode_tiles(known, level) for level in (self.heads, self.tails)]
        return tiles.concat(self.view.slots, levels)

    def read(self, at: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """Every feature of each entity at its time of `at`; None for null."""
        features = tiles.evaluate(self.view, self.tiles(), np.asarray(at, np.int64))
        return [
            {name: features.values[name][i] if features.valid[name][i] else None for name in features.values}
            for i in range(self.entities)
        ]


def same(got: Any, want: Any, feature: Feature, events: Sequence[Event]) -> bool:
    """Equal as the contract says: floats to 1e-9 of the size of what was summed, everything else exactly."""
    if want is None or got is None:
        return want is got
    if feature.function in ("count", "count_distinct", "min", "max", "first", "last"):
        return bool(got == want)
    size = max((abs(e[3][feature.column]) for e in events if is_value(e[3].get(feature.column))), default=0)
    # Rounding the mean costs a variance some units in the last place of the values, not of itself.
    noise = 1e-13 * size
    # A square below float64's smallest normal number has few digits left.
    lost = 5e-324 * len(events)
    if feature.function.startswith("var"):
        noise = max(noise * max(math.sqrt(want), noise), lost)
    elif feature.function.startswith("std") and want:
        noise = max(noise, lost / want)
    return math.isclose(got, want, rel_tol=1e-9, abs_tol=noise)
