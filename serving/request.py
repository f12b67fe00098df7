"""One read through Feast: what it asks of Redis, and the answer made of the replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from feast import FeatureView, RepoConfig, utils
from feast import metrics as feast_metrics
from feast.infra.online_stores.helpers import compute_versioned_name

from serving.reader import Moment, Row, Rows, ViewReader
from streaming.errors import TidemarkError
from streaming.plan import View
from streaming.redis.wire import EntityKeys

Command = tuple[bytes, list[Any]]
"""A Redis key and the hash fields wanted of it."""

Reply = Sequence[bytes | None]
"""What Redis holds in the fields of a command."""

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

    def __init__(self, view: View, values: Mapping[str, Sequence[Any]]) -> None:
        missing = [name for name, _ in view.join_keys if not values.get(name)]
        if missing:
            raise KeyError(f"missing values of join keys {missing} for view {view.name}: add them to entity_rows")
        columns = [_plain(name, dtype, values[name]) for name, dtype in view.join_keys]
        rows = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        places: dict[bytes, int] = {}
        keys = EntityKeys(view.project, view.join_keys).encode(rows)
        self.rows = np.array([places.setdefault(key, len(places)) for key in keys])
        self.keys = list(places)


def _plain(name: str, dtype: str, values: Sequence[Any]) -> list[Any]:
    field = _VALUE_FIELDS[dtype]
    for value in values:
        if value.WhichOneof("val") != field:
            raise TidemarkError(f"join key {name} is {dtype}: give every entity a value of that type")
    return [getattr(value, field) for value in values]


class Part(Protocol):
    """One view's share of a request: it has commands, and fills the response from their replies."""

    table: FeatureView

    def fill(self, response: Any, replies: Sequence[Reply], full_names: bool, versions: bool) -> None:
        """Append the view's features to Feast's `GetOnlineFeaturesResponse`."""


class Questions:
    """Commands of a request, one for each entity, whatever the number of views that want something of it."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self._shared: dict[int, tuple[int, int, list[Any]]] = {}

    def ask(self, keys: Sequence[bytes], fields: Sequence[Any], share: object) -> Ticket:
        """Want `fields` of every key; callers that pass the same `share` (with the same keys) use one command."""
        begin, end, asked = self._shared.get(id(share), (0, 0, []))
        if not end:
            begin, end = len(self.commands), len(self.commands) + len(keys)
            self.commands += [(key, asked) for key in keys]
            self._shared[id(share)] = begin, end, asked
        ticket = Ticket(slice(begin, end), slice(len(asked), len(asked) + len(fields)))
        asked += fields
        return ticket


class Ticket:
    """Where the replies to a question are."""

    def __init__(self, commands: slice, fields: slice) -> None:
        self.commands, self.fields = commands, fields

    def replies(self, replies: Sequence[Reply]) -> list[Reply]:
        return [reply[self.fields] for reply in replies[self.commands]]


class TiledPart:
    """A view whose features are computed from rings."""

    def __init__(
        self,
        table: FeatureView,
        reader: ViewReader,
        names: Sequence[str],
        entities: Entities,
        at: Moment,
        questions: Questions,
    ) -> None:
        self.table, self.reader, self.names, self.entities, self.at = table, reader, tuple(names), entities, at
        self._ticket = questions.ask(entities.keys, reader.fields, entities)

    def features(self, replies: Sequence[Reply]) -> Rows | Row:
        return self.reader.read(self._ticket.replies(replies), self.at, self.names)

    def fill(self, response: Any, replies: Sequence[Reply], full_names: bool, versions: bool) -> None:
        rows, features = self.entities.rows, self.features(replies)
        view = self.table.projection.name_to_use()
        names = [f"{view}__{name}" for name in self.names] if full_names else self.names
        response.metadata.feature_names.val.extend(names)
        if versions:
            _add_version(response, self.table)
        response.MergeFromString(features.vectors(rows))
        if feast_metrics._config.online_features:
            present = features.present(rows)
            feast_metrics.track_feature_statuses(self.table.name, present, len(names) * len(rows) - present)


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
        self._stored_name = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
        entities, self._places, self._rows = utils._get_unique_entities(table, *values)
        keys = store._generate_redis_keys_for_entities(config, utils._get_entity_key_protos(entities))
        self._names, fields = store._generate_hset_keys_for_features(table, names, self._stored_name)
        self._ticket = questions.ask(keys, fields, self)

    def fill(self, response: Any, replies: Sequence[Reply], full_names: bool, versions: bool) -> None:
        read = self._store._convert_redis_values_to_protobuf(
            self._ticket.replies(replies), self._stored_name, self._names
        )
        utils._populate_response_from_feature_data(
            self._names, read, self._places, response, full_names, self.table, self._rows, versions
        )


def _add_version(response: Any, table: FeatureView) -> None:
    name = table.projection.name_alias or table.projection.name
    if name not in [known.name for known in response.metadata.feature_view_metadata]:
        added = response.metadata.feature_view_metadata.add()
        added.name = name
        added.version = getattr(table, "current_version_number", 0) or 0
