"""Which Feast views are computed from rings, and a reader for each, with what the engine noted about it."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

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
NEW_SECONDS = 0.2
"""The same for a view of which the engine has noted nothing: a reader was there before the lane."""


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


@dataclass(frozen=True)
class _Known:
    """A registered definition: its plan, and that as a text, which keeps its hash."""

    table: weakref.ref[FeatureView]
    view: View
    key: str


@dataclass
class _Entry:
    meta: ViewMeta
    reader: ViewReader
    loaded: float


class Catalog:
    """Readers of the tiled views a store has met. Safe to share between threads: entries are replaced whole."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._known: dict[int, _Known] = {}

    def stale(self, config: RepoConfig, tables: Iterable[FeatureView]) -> bool:
        """Whether `refresh` would ask Redis."""
        now = time.monotonic()
        oldest, soon = now - REFRESH_SECONDS, now - NEW_SECONDS
        for table in tables:
            if is_tiled(table):
                entry = self._entries.get(self._of(config, table).key)
                if entry is None or entry.loaded < (oldest if entry.meta.layouts else soon):
                    return True
        return False

    def refresh(self, config: RepoConfig, tables: Iterable[FeatureView], client: Any) -> bool:
        """Load what the engine notes about the tiled ones of `tables`. Returns whether anything is new."""
        tiled = [self._of(config, table) for table in tables if is_tiled(table)]
        changed = False
        for key, view in {known.key: known.view for known in tiled}.items():
            entry = self._entries.get(key)
            meta = parse(client.hgetall(meta_key(view.project, view.stored_name)))
            same = entry is not None and entry.meta == meta
            reader = entry.reader if entry and same else ViewReader(view, meta.layouts, _complete(view, meta))
            self._entries[key] = _Entry(meta, reader, time.monotonic())
            changed |= not same
        return changed

    def reader(self, config: RepoConfig, table: FeatureView) -> ViewReader:
        """The reader of a tiled view that was refreshed before."""
        return self._entries[self._of(config, table).key].reader

    def _of(self, config: RepoConfig, table: FeatureView) -> _Known:
        """What tells one registered definition from another; remembered for as long as `table` lives.

        Feast's `to_proto` would tell too, but it pickles functions with dill, which swaps `sys.stdout` of
        the whole process meanwhile.
        """
        held = self._known.get(id(table))
        if held is not None and held.table() is table:
            return held
        view = view_of(cast(StreamFeatureView, table), config)
        found = _Known(weakref.ref(table), view, repr(view))
        if len(self._known) > 1_000:
            self._known = {number: k for number, k in self._known.items() if k.table() is not None}
        self._known[id(table)] = found
        return found


def _complete(view: View, meta: ViewMeta) -> dict[str, int]:
    """From when on each feature is complete; what was said of it defined otherwise does not hold."""
    return {f.name: meta.complete_since[f.name] for f in view.features if meta.features.get(f.name) == f}
