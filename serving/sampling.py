"""Served vectors with the moment they were served at, for parity: read through Feast as any client reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from feast import FeatureStore

from serving.incomplete import reasons
from serving.moment import as_of
from streaming.history.parity import Vector
from streaming.plan import View
from streaming.redis.bulk import Bulk
from streaming.redis.target import RedisTarget
from streaming.redis.wire import EntityKeys
from streaming.ring import Headers, RingCodec

AHEAD = 60
"""Seconds that a read is ahead of the clock: no event that was admitted is later."""
CHUNK = 200


def read(
    store: FeatureStore,
    view: View,
    entities: Sequence[Mapping[str, Any]],
    target: RedisTarget,
    clock: Callable[[], float] = time.time,
) -> list[Vector]:
    """A vector for each of `entities` (join keys) that is known, and did not change while it was read.

    Features that were withheld as incomplete are not in it.
    """
    found: list[Vector] = []
    latest = getattr(store.config.online_store, "leading_edge", "wall_clock") == "latest_event"
    with Bulk(target) as bulk:
        for begin in range(0, len(entities), CHUNK):
            asked = [dict(entity) for entity in entities[begin : begin + CHUNK]]
            before = _headers(bulk, view, asked)
            moment = datetime.fromtimestamp(int(clock()) + AHEAD, UTC)
            with as_of(moment), reasons() as withheld:
                names = [feature.name for feature in view.features]
                columns = store.get_online_features(
                    [f"{view.name}:{name}" for name in names], asked
                ).to_dict()
            after = _headers(bulk, view, asked)
            shown = [name for name in names if f"{view.name}__{name}" not in withheld]
            for i, entity in enumerate(asked):
                if not before.present[i] or before.batch[i] != after.batch[i]:
                    continue
                at = int(before.newest[i]) if latest else int(moment.timestamp() * 1000)
                found.append(
                    Vector(entity, at, int(before.batch[i]), {name: columns[name][i] for name in shown})
                )
    return found


def _headers(bulk: Bulk, view: View, rows: Sequence[Mapping[str, Any]]) -> Headers:
    codec = RingCodec(view)
    names = [name for name, _ in view.join_keys]
    keys = EntityKeys(view.project, view.join_keys).encode(
        [tuple(row[name] for name in names) for row in rows]
    )
    return codec.decode_headers([reply[0] for reply in bulk.hmget(keys, [codec.fields[0]])])
