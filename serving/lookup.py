"""Features as a person asks for them: by text, with a status and a reason for what is null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from feast import FeatureService, FeatureStore, utils
from feast.errors import FeastError, FeatureNameCollisionError, FeatureServiceNotFoundException
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.type_map import feast_value_type_to_python_type
from redis.exceptions import RedisError

from serving.incomplete import reasons
from streaming.errors import DefinitionError, ServiceError, TidemarkError

INTEGERS = ("INT32", "INT64", "UNIX_TIMESTAMP")


@dataclass(frozen=True)
class Found:
    """One feature of one entity. `status` is the name of a Feast FieldStatus; `reason` says why it is null."""

    value: Any
    status: str
    newest_event: datetime | None
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """Features of one entity by full name (view__feature)."""

    entity: dict[str, Any]
    features: dict[str, Found]


def lookup(
    store: FeatureStore,
    features: str | Sequence[str],
    entities: Mapping[str, Sequence[str]],
    request: Mapping[str, str] | None = None,
) -> list[Answer]:
    """The features of each entity, as of now or of the `as_of` around the call.

    `features` is the name of a feature service, or references view:feature; `entities` maps each join key
    to its values, as text; `request` is the data that on-demand views ask for. Raises TidemarkError for
    what does not exist or cannot be had.
    """
    try:
        wanted = service(store, features) if isinstance(features, str) else list(features)
        rows = {**_entities(store, wanted, entities), **_request(store, request or {}, entities)}
        return _answers(store, wanted, rows, list(entities))
    except RedisError as error:
        where = getattr(store.config.online_store, "connection_string", "its address").split(",")[0]
        raise ServiceError(
            f"Redis at {where} does not answer ({error}): start it, for example with `tidemark services start`"
        ) from error
    except TidemarkError:
        raise
    except (FeastError, KeyError, ValueError) as error:
        raise DefinitionError(f"Feast refuses: {' '.join(str(error).strip(chr(39)).split())}") from error


def service(store: FeatureStore, name: str) -> FeatureService:
    """The registered feature service of that name. Raises DefinitionError, naming those there are.

    The registry is read anew only where what is held of it does not know the service.
    """
    try:
        return store.get_feature_service(name, allow_cache=True)
    except FeatureServiceNotFoundException:
        pass
    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException:
        known = ", ".join(sorted(s.name for s in store.list_feature_services())) or "none; run feast apply"
        raise DefinitionError(f"there is no feature service {name}: choose from {known}") from None


def _answers(store: FeatureStore, wanted: Any, rows: dict[str, list[Any]], keys: list[str]) -> list[Answer]:
    with reasons() as why:
        columns = _columns(store.get_online_features(wanted, rows, full_feature_names=True))
        expected = [f"{view}__{name}" for view, name in _names(store, wanted)]
        if not set(expected) <= set(columns):
            # Feast drops what a Python on-demand view computes when full names are asked for.
            columns |= _unprefixed(store, wanted, rows, columns)
    count = max(map(len, rows.values()))
    return [
        Answer(
            {key: rows[key][i] for key in keys},
            {name: _found(columns.get(name), i, why.get(name, "")) for name in expected},
        )
        for i in range(count)
    ]


def _unprefixed(
    store: FeatureStore, wanted: Any, rows: dict[str, list[Any]], known: dict[str, Any]
) -> dict[str, Any]:
    try:
        short = _columns(store.get_online_features(wanted, rows, full_feature_names=False))
    except FeatureNameCollisionError:
        return {}
    names = [(f"{view}__{name}", name) for view, name in _names(store, wanted)]
    return {full: short[name] for full, name in names if full not in known and name in short}


def _names(store: FeatureStore, wanted: Any) -> list[tuple[str, str]]:
    """View (as the response calls it) and name of each feature asked for."""
    refs = utils._get_features(store.registry, store.project, wanted, allow_cache=True)
    return [(view, name) for view, _, name in map(utils._parse_feature_ref, refs)]


def _columns(response: Any) -> dict[str, Any]:
    return dict(zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True))


def _found(column: Any, row: int, reason: str) -> Found:
    if column is None:
        return Found(None, "NOT_FOUND", None, "Feast gives it no full name: ask for its view alone")
    stamp = column.event_timestamps[row]
    newest = stamp.ToDatetime(UTC) if stamp.seconds or stamp.nanos else None
    value = feast_value_type_to_python_type(column.values[row])
    status = FieldStatus.Name(column.statuses[row])
    if status == "NOT_FOUND":
        reason = "no event of this entity was ever seen"
    elif value is None and not reason and newest is not None:
        reason = "no value within the window"
    return Found(value, status, newest, reason if value is None else "")


def _entities(
    store: FeatureStore, wanted: Any, entities: Mapping[str, Sequence[str]]
) -> dict[str, list[Any]]:
    types: dict[str, str] = {}
    registry = store.registry
    views = [
        *registry.list_feature_views(store.project),
        *registry.list_stream_feature_views(store.project, skip_udf=True),
    ]
    for view in views:
        types |= {column.name: column.dtype.to_value_type().name for column in view.entity_columns}
    if isinstance(wanted, FeatureService):
        for projection in wanted.feature_view_projections:
            types |= {alias: types[key] for key, alias in projection.join_key_map.items() if key in types}
    count = max(map(len, entities.values()), default=0)
    rows: dict[str, list[Any]] = {}
    for key, values in entities.items():
        if key not in types:
            raise DefinitionError(f"there is no join key {key}: choose from {', '.join(sorted(types))}")
        if len(values) not in (1, count):
            raise DefinitionError(
                f"{key} has {len(values)} values and another key {count}: give one or as many"
            )
        rows[key] = [_parsed(key, types[key], value) for value in values] * (count // len(values))
    if not rows:
        raise DefinitionError("no entity was named: give one, for example user_id=U1")
    return rows


def _request(
    store: FeatureStore, request: Mapping[str, str], entities: Mapping[str, Sequence[str]]
) -> dict[str, list[Any]]:
    types = {
        field.name: field.dtype.to_value_type().name
        for view in store.registry.list_on_demand_feature_views(store.project)
        for source in view.source_request_sources.values()
        for field in source.schema
    }
    for name in request:
        if name not in types:
            known = ", ".join(sorted(types)) or "none"
            raise DefinitionError(f"no on-demand view asks for {name}: request data is {known}")
    count = max(map(len, entities.values()), default=1)
    return {name: [_parsed(name, types[name], value)] * count for name, value in request.items()}


def _parsed(name: str, dtype: str, text: str) -> Any:
    try:
        if dtype in INTEGERS:
            return int(text)
        if dtype in ("DOUBLE", "FLOAT"):
            return float(text)
        if dtype == "BOOL":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise DefinitionError(f"{name} is {dtype}, and {text!r} is not: correct the value") from None
    return text
