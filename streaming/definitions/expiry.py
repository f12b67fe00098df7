"""How long an entity lives in Redis where `expire: true` lets idle ones go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from feast import FeatureStore, StreamFeatureView

from streaming.definitions.entities import is_tiled
from streaming.definitions.sources import kafka, skew
from streaming.errors import DefinitionError

Keys = tuple[str, ...]


def keys(view: Any) -> Keys:
    """The join keys of a Feast view, sorted: views with the same share a hash for each entity."""
    return tuple(sorted(view.join_keys))


def lifetimes(store: FeatureStore, computed: Sequence[StreamFeatureView]) -> Mapping[Keys, int]:
    """How long (ms) after a write the hashes of each set of join keys live; those left out live for good.

    `computed` are all views that the engine may compute. A hash outlives the longest of their windows,
    and that of a view which Feast itself writes is left out. Empty without `expire: true`. Raises
    DefinitionError.
    """
    if not getattr(store.config.online_store, "expire", False):
        return {}
    longest: dict[Keys, int] = {}
    for view in computed:
        longest[keys(view)] = max(longest.get(keys(view), 0), _reach(view))
    for other in store.registry.list_all_feature_views(store.project, skip_udf=True):
        online = getattr(other, "write_to_online_store", getattr(other, "online", False))
        if online and not is_tiled(other):
            longest.pop(keys(other), None)
    return longest


def _reach(view: StreamFeatureView) -> int:
    """How long (ms) after it was written an event of the view is in some window.

    An event may be ahead of the broker's clock by the skew, and a reader's clock behind it.
    """
    window = max(aggregation.time_window or timedelta(0) for aggregation in view.aggregations)
    try:
        return window // timedelta(milliseconds=1) + 2 * skew(kafka(view))
    except DefinitionError as error:
        raise DefinitionError(f"source {kafka(view).name}: {error}") from None
