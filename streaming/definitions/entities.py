"""Join keys of a view, and what views of one entity share in Redis: a hash and its fields."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from feast import FeatureStore, KafkaSource, StreamFeatureView
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_NAME, FeatureView
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name
from feast.value_type import ValueType

from streaming.errors import DefinitionError
from streaming.plan import View

KEY_TYPES = ("STRING", "INT64", "INT32")


def stream_views(store: FeatureStore, skip_udf: bool) -> list[StreamFeatureView]:
    """All registered stream views, without Feast's warning that they are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return store.registry.list_stream_feature_views(store.project, skip_udf=skip_udf)


def is_tiled(table: Any) -> TypeGuard[StreamFeatureView]:
    """Whether a Feast view is the engine's: it declares aggregations over a KafkaSource."""
    return (
        isinstance(table, StreamFeatureView)
        and bool(table.aggregations)
        and isinstance(table.stream_source, KafkaSource)
    )


def join_keys(store: FeatureStore, view: StreamFeatureView) -> tuple[tuple[str, str], ...]:
    """(name, Feast type) of a view's join keys, sorted by name; a view without entity has Feast's dummy key."""
    if list(view.entities) in ([], [DUMMY_ENTITY_NAME]):
        return ((DUMMY_ENTITY_ID, "STRING"),)
    typed = {f.name: f.dtype.to_value_type() for f in view.entity_columns}
    keys = []
    for name in view.entities:
        entity = store.registry.get_entity(name, store.project)
        held = typed.get(entity.join_key, entity.value_type)
        if held in (None, ValueType.UNKNOWN):
            held = ValueType.STRING
        if held.name not in KEY_TYPES:
            raise DefinitionError(
                f"join key {entity.join_key} of entity {name} is {held.name}: give the entity a value_type of "
                f"{', '.join(KEY_TYPES)}"
            )
        keys.append((entity.join_key, held.name))
    return tuple(sorted(keys))


def check_fields(store: FeatureStore, computed: Sequence[View]) -> None:
    """Refuse two features whose 4-byte field names collide in an entity's Redis hash.

    Feast names a field by the mmh3 hash of view:feature alone; views with the same join keys share a hash.
    """
    taken: dict[tuple[tuple[str, ...], bytes], str] = {}
    ours = {view.name for view in computed}
    for keys, label in _fields(store):
        other = taken.setdefault((keys, _mmh3(label)), label)
        if other != label and {other.split(":")[0], label.split(":")[0]} & ours:
            raise DefinitionError(
                f"features {other} and {label} have the same field in Redis ({_mmh3(label).hex()}): rename one"
            )


def _fields(store: FeatureStore) -> Iterator[tuple[tuple[str, ...], str]]:
    versioned = store.config.registry.enable_online_feature_view_versioning
    views: list[FeatureView] = [
        *stream_views(store, skip_udf=True),
        *store.registry.list_feature_views(store.project),
    ]
    for view in views:
        if view.online:
            keys = tuple(sorted(view.join_keys))
            for feature in view.features:
                if feature.name not in keys:
                    yield keys, f"{compute_versioned_name(view, versioned)}:{feature.name}"


def check_projects(store: FeatureStore) -> list[str]:
    """Warnings about projects of this registry whose Redis keys could be mistaken for this project's.

    Feast appends the project's name to the serialised entity key without a separator.
    """
    mine = store.project
    return [
        f"project names {other.name} and {mine} end alike: their keys can meet in one Redis, so use two or rename one"
        for other in store.registry.list_projects()
        if other.name != mine and (other.name.endswith(mine) or mine.endswith(other.name))
    ]
