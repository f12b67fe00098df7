"""One read through Feast: what it asks of Redis, and the answer made of the replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from feast import FeatureView, RepoConfig, utils
from feast import metrics as feast_metrics
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse

from serving.incomplete import Notices
from serving.reader import Moment, Row, Rows, ViewReader
from serving.response import NOT_FOUND
from streaming.errors import TidemarkError
from streaming.redis.wire import EntityKeys

Command = tuple[bytes, list[Any]]
"""A Redis key and the hash fields wanted of it."""

Reply = Sequence[bytes | None]
"""What Redis holds in the fields of a command."""

FeatureRow = tuple[datetime | None, dict[str, Any] | None]
"""Newest event and ValueProtos of an entity, as Feast's `online_read` returns them; None when it is unknown."""

_VALUE_FIELDS = {
    "STRING": "string_val",
    "BYTES": "bytes_val",
    "INT32": "int32_val",
    "INT64": "int64_val",
    "UNIX_TIMESTAMP": "unix_timestamp_val",
}


class Entities:
    """The different entities that the rows of a request name: `keys` in Redis, and each row's place in them.

    `values` are the ValueProtos of each join key. Raises KeyError when a join key is missing, TidemarkError
    when its values are of another type than the entity's.
    """

    def __init__(self, view: str, keys: EntityKeys, values: Mapping[str, Sequence[Any]]) -> None:
        missing = [name for name, _ in keys.join_keys if not values.get(name)]
        if missing:
            raise KeyError(f"missing values of join keys {missing} for view {view}: add them to entity_rows")
        columns = [_plain(name, dtype, values[name]) for name, dtype in keys.join_keys]
        rows = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        places: dict[bytes, int] = {}
        self.rows = np.array([places.setdefault(key, len(places)) for key in keys.encode(rows)])
        self.keys = list(places)


def _plain(name: str, dtype: str, values: Sequence[Any]) -> list[Any]:
    field = _VALUE_FIELDS[dtype]
    for value in values:
        if value.WhichOneof("val") != field:
            raise TidemarkError(f"join key {name} is {dtype}: give every entity a value of that type")
    return [getattr(value, field) for value in values]


def key_columns(keys: Sequence[Any]) -> dict[str, list[Any]]:
    """Values by join key of Feast's EntityKey protos."""
    columns: dict[str, list[Any]] = {}
    for key in keys:
        for name, value in zip(key.join_keys, key.entity_values, strict=True):
            columns.setdefault(name, []).append(value)
    return columns


class Questions:
    """Commands of a request: one for each entity, whatever the number of views that want something of it."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self._asked: dict[int, tuple[slice, list[Any]]] = {}

    def ask(self, keys: Sequence[bytes], fields: Sequence[Any], share: object) -> tuple[slice, slice]:
        """Want `fields` of every key; returns which replies answer that, and which values of them.

        Callers that pass the same `share` want something of the same keys.
        """
        if id(share) not in self._asked:
            fresh: list[Any] = []
            self._asked[id(share)] = slice(len(self.commands), len(self.commands) + len(keys)), fresh
            self.commands += [(key, fresh) for key in keys]
        replies, wanted = self._asked[id(share)]
        values = slice(len(wanted), len(wanted) + len(fields))
        wanted += fields
        return replies, values


class Part(Protocol):
    """One view's share of a request."""

    def take(self, replies: Sequence[Reply]) -> None:
        """Compute the features. Raises TidemarkError."""

    def fill(self, response: Any, full_names: bool, versions: bool) -> None:
        """Append them to Feast's `GetOnlineFeaturesResponse`."""


class TiledPart:
    """A view whose features are computed from rings."""

    def __init__(
        self,
        table: FeatureView,
        names: Sequence[str],
        reader: ViewReader,
        entities: Entities,
        at: Moment,
        questions: Questions,
        notices: Notices,
    ) -> None:
        self.table, self.names, self.reader, self.at, self.notices = table, tuple(names), reader, at, notices
        self.rows = entities.rows
        self._answer = questions.ask(entities.keys, reader.fields, entities)
        self._features: Rows | Row

    def take(self, replies: Sequence[Reply]) -> None:
        commands, values = self._answer
        self._features = self.reader.read([reply[values] for reply in replies[commands]], self.at, self.names)
        if self._features.incomplete:
            shown_as = self.table.projection.name_to_use()
            self.notices.note(self.table.name, shown_as, self._features.incomplete)

    def fill(self, response: Any, full_names: bool, versions: bool) -> None:
        view = self.table.projection.name_to_use()
        names = [f"{view}__{name}" for name in self.names] if full_names else self.names
        response.metadata.feature_names.val.extend(names)
        if versions:
            _add_version(response, self.table)
        response.MergeFromString(self._features.vectors(self.rows))
        if feast_metrics._config.online_features:
            present = self._features.present(self.rows)
            absent = len(names) * len(self.rows) - present
            feast_metrics.track_feature_statuses(self.table.name, present, absent)

    def feature_rows(self) -> list[FeatureRow]:
        """The features as rows, one for each row of the request."""
        response = GetOnlineFeaturesResponse()
        response.MergeFromString(self._features.vectors(self.rows))
        columns = [list(vector.values) for vector in response.results]
        first = response.results[0]
        return [
            (None, None)
            if status == NOT_FOUND
            else (stamp.ToDatetime(UTC), dict(zip(self.names, values, strict=True)))
            for status, stamp, values in zip(
                first.statuses, first.event_timestamps, zip(*columns, strict=True), strict=True
            )
        ]


class StockPart:
    """A view that is read as Feast's own Redis store reads it, by that store's methods."""

    def __init__(
        self,
        table: FeatureView,
        names: list[str],
        store: Any,
        config: RepoConfig,
        values: tuple[Any, Any],
        questions: Questions,
    ) -> None:
        """`values` are the request's ValueProtos by join key, and the join key of each entity name."""
        self.table, self._store = table, store
        self._stored_name = compute_versioned_name(
            table, config.registry.enable_online_feature_view_versioning
        )
        entities, self._places, self._rows = utils._get_unique_entities(table, *values)
        keys = store._generate_redis_keys_for_entities(config, utils._get_entity_key_protos(entities))
        self._names, fields = store._generate_hset_keys_for_features(table, names, self._stored_name)
        self._answer = questions.ask(keys, fields, self)
        self._read: Any = None

    def take(self, replies: Sequence[Reply]) -> None:
        commands, values = self._answer
        mine = [reply[values] for reply in replies[commands]]
        self._read = self._store._convert_redis_values_to_protobuf(mine, self._stored_name, self._names)

    def fill(self, response: Any, full_names: bool, versions: bool) -> None:
        utils._populate_response_from_feature_data(
            self._names, self._read, self._places, response, full_names, self.table, self._rows, versions
        )


def _add_version(response: Any, table: FeatureView) -> None:
    name = table.projection.name_alias or table.projection.name
    if name not in [known.name for known in response.metadata.feature_view_metadata]:
        added = response.metadata.feature_view_metadata.add()
        added.name = name
        added.version = getattr(table, "current_version_number", 0) or 0
