"""Rings of the shipped views as the engine would have written them, and reads of the services over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from feast import FeatureStore
from rings import encoded

from serving.catalog import view_of
from streaming.parts import Values
from streaming.redis import meta
from streaming.redis.bulk import Bulk, RedisTarget
from streaming.redis.wire import EntityKeys, encode_timestamps, timestamp_field

Event = tuple[int, Mapping[str, Any]]
"""Time in ms and the columns that are not null."""


class World:
    """The applied repo in `folder`; everything is read as of `now` (ms), which tests set."""

    def __init__(self, folder: Path, redis: str) -> None:
        self.folder, self.target = folder, RedisTarget(redis)
        self.store = FeatureStore(repo_path=str(folder))
        self.now = 0
        self.store._get_provider().online_store.clock = lambda: self.now

    def write(self, name: str, entity: str, events: Sequence[Event]) -> None:
        """The ring of one entity of a view, complete since ever."""
        view = view_of(self.store.get_stream_feature_view(name), self.store.config)
        kinds = {slot.column: slot.kind for slot in view.slots if slot.column}
        values, hashes = {}, {}
        for column, kind in kinds.items():
            held = [event[1].get(column) for event in events]
            valid = np.array([value is not None for value in held])
            hashes[column] = np.array([hash(value) & 0xFFFFFFFFFFFFFFFF for value in held], np.uint64)
            if kind == "str":
                values[column] = Values(np.array([str(value).encode() for value in held], object), valid)
            else:
                dtype = np.int64 if kind == "i64" else np.float64
                values[column] = Values(np.array([value or 0 for value in held], dtype), valid)
        times = [time for time, _ in events]
        ((header, head, tail),) = encoded(view, [0] * len(events), times, values, hashes=hashes)
        (key,) = EntityKeys(view.project, view.join_keys).encode([entity])
        prefix = f"_ring:{view.stored_name}"
        fields = {prefix: header, f"{prefix}:head": head, f"{prefix}:tail": tail}
        stamp = timestamp_field(view.stored_name), encode_timestamps(np.array([max(times)]))[0]
        with Bulk(self.target) as bulk:
            bulk.command("HSET", key, *(part for pair in fields.items() for part in pair), *stamp)
            meta.save(bulk, view, {feature.name: 0 for feature in view.features})

    def read(
        self, service: str, rows: Mapping[str, Sequence[Any]], full: bool = False
    ) -> dict[str, list[Any]]:
        found = self.store.get_feature_service(service)
        return self.store.get_online_features(found, dict(rows), full_feature_names=full).to_dict()
