"""Views and rings for the tests of the readers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streaming import parts, tiles
from streaming.aggregates import aggregate
from streaming.plan import Feature, Kind, Slot, View, Window
from streaming.ring import Headers, Offsets, RingCodec

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def view(
    features: Sequence[tuple[str, str, str, Window, str]],
    kinds: dict[str, Kind],
    *,
    name: str = "activity",
    project: str = "shop",
    join_keys: tuple[tuple[str, str], ...] = (("user_id", "STRING"),),
    distinct_k: int = 128,
) -> View:
    """A plan of (name, function, column, window, dtype); `kinds` are the columns'."""
    slots: dict[Slot, None] = {}
    for _, function, column, _, _ in features:
        slots.update(dict.fromkeys(aggregate(function).slots(column, kinds.get(column, "f64"))))
    plan = tuple(Feature(*feature) for feature in features)
    return View(name, name, project, "source", join_keys, plan, tuple(slots), distinct_k=distinct_k)


def encoded(view: View, entity, time, values, *, hashes=None, fold: bool = False) -> list[list[bytes]]:
    """Header, head and tail of each entity, from its events.

    `entity` numbers the events' entities from 0, `time` is in ms, `values` maps columns to parts.Values.
    """
    entity, time = np.asarray(entity), np.asarray(time)
    entities = int(entity.max()) + 1
    newest = np.full(entities, np.iinfo(np.int64).min)
    np.maximum.at(newest, entity, time)
    order = parts.order_key(time * 1_000, np.zeros_like(time), np.arange(len(time)))
    merged = tiles.merge(view, [tiles.lift(view, entity, time, order, values, hashes)], newest)
    folded = np.full(entities, True) if fold else tiles.fold(view, merged, newest)
    head, tail = tiles.split(view, merged, newest, folded)
    codec = RingCodec(view)
    headers = Headers(
        np.ones(entities, bool),
        np.ones(entities, np.int64),
        np.full(entities, 7, np.uint64),
        np.ones(entities, np.int64),
        np.full(entities, view.schema_id),
        newest,
        Offsets(np.arange(entities), np.zeros(entities, np.int64), np.arange(entities)),
    )
    fields = (
        codec.encode_headers(headers),
        codec.encode_tiles(head, entities),
        codec.encode_tiles(tail, entities),
    )
    return [list(levels) for levels in zip(*fields, strict=True)]
