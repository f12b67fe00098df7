"""A Feast repo -> the plan that the engine computes: every registered stream view, checked and compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast import FeatureStore, KafkaSource, StreamFeatureView
from feast.errors import FeastError
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.utils import get_default_yaml_file_path

from streaming import lazy_spark
from streaming.definitions import columns, cost, entities, expiry, tags
from streaming.definitions.features import compile_features, unused_fields
from streaming.definitions.sources import Stream, kafka, streams
from streaming.definitions.tags import stream_name
from streaming.errors import DefinitionError
from streaming.plan import Plan, View

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["load"]


def load(
    repo: Path | str | FeatureStore,
    views: Sequence[str] | None = None,
    spark: SparkSession | None = None,
    settings: cost.CostSettings | None = None,
    verified: set[str] | None = None,
) -> Plan:
    """The plan of the views registered in `repo`, a folder with feature_store.yaml or an open store.

    `views` picks some by name; without it, all that have aggregations over a KafkaSource. With `spark`
    the udfs are compiled to SQL and checked against themselves on random rows; without, views that have
    a udf carry no SQL (keys, columns, condition and timestamp are empty), which is enough to read features.
    `verified` holds digests of udfs that were checked before, and takes those that are checked now.
    Raises DefinitionError, one line with the remedy, for whatever the engine cannot compute.
    """
    lazy_spark.install()
    store = repo if isinstance(repo, FeatureStore) else _open(Path(repo))
    online_store = _online_store(store)
    registered, remarks = _registered(store, skip_udf=spark is None)
    chosen = _chosen(registered, views, store.project)
    sources = streams(chosen, store.config)
    lifetimes = expiry.lifetimes(store, registered)
    compiled, transformed = [], []
    for view in chosen:
        stream = sources[stream_name(kafka(view))]
        try:
            held = columns.of_view(view, stream, spark, entities.join_keys(store, view))
            known = _view(store, view, stream, held, remarks)
            compiled.append(replace(known, expiry=lifetimes.get(expiry.keys(view), 0)))
        except DefinitionError as error:
            raise DefinitionError(f"view {view.name}: {error}") from None
        if held and view.udf:
            transformed.append((view, stream, held))
    for one in compiled:
        cost.check(one, settings or cost.CostSettings())
    entities.check_fields(store, compiled)
    if spark is not None:
        from streaming.definitions.verify import verify

        verify(spark, transformed, set() if verified is None else verified)
    return Plan(
        project=store.project,
        sources=tuple(stream.source for stream in sources.values()),
        views=tuple(compiled),
        warnings=(*remarks, *entities.check_projects(store)),
        **online_store,
    )


def _open(repo: Path) -> FeatureStore:
    settings = get_default_yaml_file_path(repo)
    if not settings.is_file():
        raise DefinitionError(f"there is no {settings}: name the folder of a Feast repo")
    try:
        return FeatureStore(repo_path=str(repo))
    except FeastError as error:
        raise DefinitionError(f"{settings}: {' '.join(str(error).split())[:300]}") from error


def _online_store(store: FeatureStore) -> dict[str, Any]:
    config = store.config.online_store
    kind = getattr(getattr(config, "redis_type", None), "value", None)
    if kind not in ("redis", "redis_cluster"):
        raise DefinitionError(
            f"online store {kind or getattr(config, 'type', config)} is not one that the engine writes: set online_store "
            "to type: serving.online_store.TiledRedisOnlineStore with a connection_string in feature_store.yaml"
        )
    if getattr(config, "key_ttl_seconds", None):
        raise DefinitionError(
            "key_ttl_seconds would drop rings together with the values it is meant for: "
            "remove it from feature_store.yaml"
        )
    if store.config.entity_key_serialization_version != 3:
        raise DefinitionError(
            "set entity_key_serialization_version: 3 in feature_store.yaml: rings use version 3 keys"
        )
    return {
        "redis": config.connection_string,
        "redis_cluster": kind == "redis_cluster",
        "write_features": bool(getattr(config, "write_features", False)),
    }


def _registered(store: FeatureStore, skip_udf: bool) -> tuple[list[StreamFeatureView], list[str]]:
    """Stream views the engine may compute, by name, and remarks on the others."""
    try:
        found = entities.stream_views(store, skip_udf)
    except Exception as error:  # whatever a pickle of another Python or of a missing module raises
        raise DefinitionError(
            f"a view's udf cannot be loaded ({' '.join(str(error).split())[:120]}): import what it needs "
            "inside it and run feast apply with this Python"
        ) from error
    usable, remarks = [], []
    for view in sorted(found, key=lambda v: v.name):
        if not view.aggregations:
            remarks.append(
                f"view {view.name} has no aggregations: it is left to Feast's own stream processor"
            )
        elif not isinstance(view.stream_source, KafkaSource):
            remarks.append(
                f"view {view.name} reads {type(view.stream_source).__name__}: only KafkaSource is computed"
            )
        elif not (view.enabled and view.online):
            remarks.append(
                f"view {view.name} is {'offline only' if view.enabled else 'disabled'}: it is not computed"
            )
        else:
            usable.append(view)
    return usable, remarks


def _chosen(
    registered: list[StreamFeatureView], views: Sequence[str] | None, project: str
) -> list[StreamFeatureView]:
    names = [view.name for view in registered]
    if not registered:
        raise DefinitionError(
            f"project {project} has no stream view with aggregations over a KafkaSource: define one and run feast apply"
        )
    for name in views or ():
        if name not in names:
            raise DefinitionError(
                f"there is no stream view {name} to compute: choose from {', '.join(names)}"
            )
    return [view for view in registered if views is None or view.name in views]


def _view(
    store: FeatureStore,
    view: StreamFeatureView,
    stream: Stream,
    held: columns.Columns | None,
    remarks: list[str],
) -> View:
    keys = entities.join_keys(store, view)
    names = [name for name, _ in keys]
    features, slots = compile_features(view, names, held.types if held else None)
    idle = unused_fields(view, features, names)
    if idle:
        remarks.append(
            f"view {view.name} declares {', '.join(idle)}, which no aggregation computes: read as null"
        )
    versioned = store.config.registry.enable_online_feature_view_versioning
    compiled = View(
        name=view.name,
        stored_name=compute_versioned_name(view, versioned),
        project=store.project,
        source=stream.source.name,
        join_keys=keys,
        features=features,
        slots=slots,
        distinct_k=tags.number(view.tags, "distinct_k", 128, 2, 65_535),
        emit_updates=tags.flag(view.tags, "updates", True),
    )
    return held.with_sql(compiled, columns.timestamp_field(view, stream)) if held else compiled
