"""What a request for features asks of which views: resolved once, kept while the registry stays the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from feast import FeatureStore, FeatureView, utils
from feast.errors import FeastError
from feast.on_demand_feature_view import OnDemandFeatureView

from serving.lookup import service
from streaming.definitions.entities import is_tiled
from streaming.errors import DefinitionError

MODES = ("pandas", "python")
"""Ways of on-demand views that are run here; the others are left to Feast."""


@dataclass(frozen=True)
class Question:
    """A list of references or a feature service, looked up.

    `asked` is what Feast is asked if it has to answer. `views` are the stored views with all names that
    are needed; `formulas` the on-demand views; `names` the full names (view__feature) of the answer, in
    its order. `join_keys` maps each join key of the request to its Feast type, `request` each name of
    request data to its type.
    """

    asked: Any
    names: tuple[str, ...]
    views: tuple[tuple[FeatureView, tuple[str, ...]], ...]
    formulas: tuple[OnDemandFeatureView, ...]
    join_keys: dict[str, str]
    request: dict[str, str]
    entity_keys: dict[str, str] = field(default_factory=dict)
    """Join key of each entity name."""

    @property
    def computed(self) -> bool:
        """Whether all of it can be computed here, from rings and by formulas over columns."""
        tiled = all(is_tiled(view) for view, _ in self.views)
        return tiled and all(
            f.mode in MODES and not f.singleton and not f.aggregations for f in self.formulas
        )


def ask(store: FeatureStore, features: str | Sequence[str]) -> Question:
    """Look up a service's name or references. Raises DefinitionError for what does not exist."""
    wanted = service(store, features) if isinstance(features, str) else list(features)
    try:
        refs, formulas, entity_keys, _, _, views, _, needed, _ = utils._get_online_request_context(
            store.registry, store.project, wanted, True
        )
    except (FeastError, KeyError, ValueError) as error:
        raise DefinitionError(f"Feast refuses: {' '.join(str(error).strip(chr(39)).split())}") from error
    parsed = [utils._parse_feature_ref(ref) for ref in refs]
    order = {(view, name): place for place, (view, _, name) in enumerate(parsed)}
    first = {view: place for place, (view, _, _) in reversed(list(enumerate(parsed)))}

    def placed(view: FeatureView, names: Sequence[str]) -> tuple[FeatureView, tuple[str, ...]]:
        shown = view.projection.name_to_use()
        return view, tuple(sorted(names, key=lambda name: (order.get((shown, name), len(order)), name)))

    held = [placed(view, names) for view, names in views]
    keys: dict[str, str] = {}
    for view, _ in held:
        aliases = view.projection.join_key_map
        keys |= {aliases.get(c.name, c.name): c.dtype.to_value_type().name for c in view.entity_columns}
    requested = {
        item.name: item.dtype.to_value_type().name
        for formula in formulas
        for source in formula.source_request_sources.values()
        for item in source.schema
        if item.name in needed
    }
    return Question(
        wanted,
        tuple(f"{view}__{name}" for view, _, name in parsed),
        tuple(sorted(held, key=lambda pair: first.get(pair[0].projection.name_to_use(), len(first)))),
        tuple(formulas),
        keys,
        requested,
        dict(entity_keys),
    )


class Questions:
    """Questions looked up before, forgotten when the registry is read anew; Feast is asked every `seconds` whether it must be."""

    def __init__(self, store: FeatureStore, seconds: float = 10.0, most: int = 1_000) -> None:
        self.store, self.seconds, self.most = store, seconds, most
        self._held: dict[Any, Question] = {}
        self._stamp: Any = None
        self._looked = -seconds
        self._lock = threading.Lock()

    def get(self, features: str | Sequence[str]) -> Question:
        """As `ask`. Of callers that need the same one looks it up."""
        key = features if isinstance(features, str) else tuple(features)
        with self._lock:
            if time.monotonic() - self._looked > self.seconds:
                self.store.registry.list_entities(self.store.project, allow_cache=True)
                self._looked = time.monotonic()
            self._forget()
            if key not in self._held:
                found = ask(self.store, features)
                self._forget()
                if len(self._held) >= self.most:
                    self._held.clear()
                self._held[key] = found
            return self._held[key]

    def known(self, features: str | Sequence[str]) -> Question | None:
        """The question if it was looked up lately; None when `get` would have to ask Feast, or wait."""
        if time.monotonic() - self._looked > self.seconds or not self._lock.acquire(blocking=False):
            return None
        try:
            self._forget()
            return self._held.get(features if isinstance(features, str) else tuple(features))
        finally:
            self._lock.release()

    def _forget(self) -> None:
        stamp = getattr(self.store.registry, "cached_registry_proto_created", None)
        if stamp != self._stamp:
            self._held, self._stamp = {}, stamp
