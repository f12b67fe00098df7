"""Which Feast views are computed from rings, and a reader for each, with what the engine noted about it."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from feast import FeatureView, RepoConfig, StreamFeatureView
from feast.infra.online_stores.helpers import compute_versioned_name

from serving.reader import ViewReader
from streaming.definitions import tags
from streaming.definitions.entities import is_tiled
from streaming.definitions.features import compile_features
from streaming.plan import View
from streaming.redis.meta import ViewMeta, meta_key, parse

REFRESH_SECONDS = 5.0
"""How old the engine's notes may be: so much later, at most, a reader learns of a backfill."""


def stored_view(table: StreamFeatureView, config: RepoConfig) -> View:
    """Where a tiled view is stored: its plan without features, slots and SQL."""
    return View(
        name=table.name,
        stored_name=compute_versioned_name(table, config.registry.enable_online_feature_view_versioning),
        project=config.project,
        source=tags.stream_name(table.stream_source) if table.stream_source else "",
        join_keys=tuple(sorted((c.name, c.dtype.to_value_type().name) for c in table.entity_columns)),
        features=(),
        slots=(),
    )


def view_of(table: StreamFeatureView, config: RepoConfig) -> View:
    """The plan of a tiled view as far as a reader needs it: no SQL, and no Spark to make it.

    Raises DefinitionError for what the engine cannot compute.
    """
    stored = stored_view(table, config)
    features, slots = compile_features(table, [name for name, _ in stored.join_keys], None)
    k = tags.number(table.tags, "distinct_k", 128, 2, 65_535)
    return replace(stored, features=features, slots=slots, distinct_k=k)


@dataclass
class _Entry:
    view: View
    meta: ViewMeta
    reader: ViewReader
    loaded: float


class Catalog:
    """Readers of the tiled views a store has met. Safe to share between threads: entries are replaced whole."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Any, ...], _Entry] = {}
        self._keys: dict[int, tuple[weakref.ref[FeatureView], tuple[Any, ...]]] = {}

    def stale(self, config: RepoConfig, tables: Iterable[FeatureView]) -> bool:
        """Whether `refresh` would ask Redis."""
        oldest = time.monotonic() - REFRESH_SECONDS
        for table in tables:
            if is_tiled(table):
                entry = self._entries.get(self._key(config, table))
                if entry is None or entry.loaded < oldest:
                    return True
        return False

    def refresh(self, config: RepoConfig, tables: Iterable[FeatureView], client: Any) -> bool:
        """Load what the engine notes about the tiled ones of `tables`. Returns whether anything is new."""
        tiled: dict[Any, StreamFeatureView] = {self._key(config, t): t for t in tables if is_tiled(t)}
        changed = False
        for key, table in tiled.items():
            entry = self._entries.get(key)
            view = entry.view if entry else view_of(table, config)
            meta = parse(client.hgetall(meta_key(view.project, view.stored_name)))
            same = entry is not None and entry.meta == meta
            reader = entry.reader if entry and same else ViewReader(view, meta.layouts, _complete(view, meta))
            self._entries[key] = _Entry(view, meta, reader, time.monotonic())
            changed |= not same
        return changed

    def reader(self, config: RepoConfig, table: FeatureView) -> ViewReader:
        """The reader of a tiled view that was refreshed before."""
        return self._entries[self._key(config, table)].reader

    def _key(self, config: RepoConfig, table: FeatureView) -> tuple[Any, ...]:
        """What tells one registered definition from another; remembered for as long as `table` lives."""
        known = self._keys.get(id(table))
        if known is not None and known[0]() is table:
            return known[1]
        definition = table.last_updated_timestamp or repr(table.to_proto().spec)
        stored_name = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
        key = (config.project, table.name, stored_name, definition)
        if len(self._keys) > 1_000:
            self._keys = {number: held for number, held in self._keys.items() if held[0]() is not None}
        self._keys[id(table)] = weakref.ref(table), key
        return key


def _complete(view: View, meta: ViewMeta) -> dict[str, int]:
    """From when on each feature is complete; what was said of it defined otherwise does not hold."""
    return {f.name: meta.complete_since[f.name] for f in view.features if meta.features.get(f.name) == f}
