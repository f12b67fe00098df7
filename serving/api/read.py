"""Features by columns, from Redis to JSON, without an object for each value on the way.

Feast's own server spends most of a large read in making a protobuf message of every value, and a dictionary
of every message again. Here each view's rings are fetched for all entities in one round trip, computed as
arrays and written as lists. What cannot be computed from rings is read through Feast.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import numpy as np
from feast import FeatureStore, utils
from feast.errors import FeastError
from feast.type_map import feast_value_type_to_python_type

from serving import moment
from serving.api import columns
from serving.api.check import Columns, checked
from serving.api.formula import computed
from serving.api.question import Question, Questions
from serving.incomplete import reason, reasons
from serving.online_store import TiledRedisOnlineStore
from serving.reader import Moment, Row, Rows
from serving.request import Questions as Commands
from streaming.errors import DefinitionError, TidemarkError
from streaming.redis.bulk import Bulk, RedisAway, RedisTarget
from streaming.redis.wire import EntityKeys


class Answer(msgspec.Struct):
    """Features of a batch of entities by columns; row i is the i-th entity of the request.

    `newest_event` has, for each stream view, the time of each entity's newest event, null for one that was
    never seen. `incomplete` says of features that are null for everybody why they are.
    """

    as_of: str
    entities: dict[str, list[Any]]
    features: dict[str, list[Any]]
    newest_event: dict[str, list[str | None]]
    incomplete: dict[str, str]


class FeatureReader:
    """Reads features of one repo from threads of the caller's. Raises DefinitionError for another store than ours."""

    def __init__(self, store: FeatureStore) -> None:
        online = store._get_provider().online_store
        if not isinstance(online, TiledRedisOnlineStore):
            raise DefinitionError(
                "the API reads the tiled store: set online_store.type to "
                "serving.online_store.TiledRedisOnlineStore in feature_store.yaml"
            )
        self.store, self.online = store, online
        self.questions = Questions(store)
        config = store.config.online_store
        self.target = RedisTarget(
            config.connection_string, config.redis_type.value == "redis_cluster", timeout=5.0
        )
        self._local = threading.local()

    def read(
        self,
        features: str | Sequence[str],
        entities: Columns,
        request: Columns | None = None,
        as_of: int | None = None,
    ) -> Answer:
        """Features of each entity now or as of a moment (ms).

        `entities` maps join keys to their values, `request` request data of on-demand views, one value for
        every entity each. Raises TidemarkError (AsOfError for a moment that a ring cannot answer).
        """
        question = self.questions.get(features)
        rows = checked(question, entities, request or {})
        at = Moment(self.online.clock(), as_of, self.store.config.online_store.leading_edge)
        if not question.computed:
            return self._by_feast(question, entities, request or {}, at)
        found = self._views(question, entities, rows, at)
        values: dict[str, list[Any]] = {}
        newest: dict[str, list[str | None]] = {}
        incomplete: dict[str, str] = {}
        for (view, names), (part, places) in zip(question.views, found, strict=True):
            shown = view.projection.name_to_use()
            full = [f"{shown}__{name}" for name in names]
            values.update(zip(full, columns.listed(part, places), strict=True))
            newest[shown] = _newest(part, places)
            incomplete |= {f"{shown}__{name}": reason(until) for name, until in part.incomplete.items()}
        for formula in question.formulas:
            values |= computed(formula, values, {**entities, **(request or {})})
        wanted = {name: values[name] for name in question.names}
        reasons_of = {name: why for name, why in incomplete.items() if name in wanted}
        return Answer(_text(at), {k: list(v) for k, v in entities.items()}, wanted, newest, reasons_of)

    def _views(
        self, question: Question, entities: Columns, rows: int, at: Moment
    ) -> list[tuple[Rows | Row, np.ndarray]]:
        """What was read of each view, and each row's place in it."""
        config, catalog = self.store.config, self.online.catalog
        tables = [view for view, _ in question.views]
        client = self.online._get_client(config.online_store)
        if catalog.stale(config, tables):
            catalog.refresh(config, tables, client)
        commands = Commands()
        wanted, held = [], dict[Any, tuple[_Entities, np.ndarray]]()
        for view, names in question.views:
            reader = catalog.reader(config, view)
            columns_of: Columns = utils._get_table_entity_values(
                view, question.entity_keys, cast(Any, entities)
            )
            key = (reader.view.join_keys, tuple(view.projection.join_key_map.items()))
            if key not in held:
                different = _Entities(reader.keys, columns_of, rows)
                held[key] = different, different.rows
            different, places = held[key]
            wanted.append((view, names, commands.ask(different.keys, reader.fields, different), places))
        replies = self._fetch(commands)

        def taken() -> list[tuple[Rows | Row, np.ndarray]]:
            return [
                (
                    catalog.reader(config, view).read([r[values] for r in replies[which]], at, names),
                    places,
                )
                for view, names, (which, values), places in wanted
            ]

        try:
            return taken()
        except moment.AsOfError:
            raise
        except TidemarkError:
            # The lane may have begun a new layout since the catalog was refreshed.
            if not catalog.refresh(config, tables, client):
                raise
        return taken()

    def _fetch(self, commands: Commands) -> list[list[bytes | None]]:
        """Replies of all commands, over a connection of this thread's; once again when it was lost."""
        for last in (False, True):
            bulk: Bulk | None = getattr(self._local, "bulk", None)
            try:
                if bulk is None:
                    bulk = self._local.bulk = Bulk(self.target)
                lines = [(b"HMGET", key, *fields) for key, fields in commands.commands]
                return bulk.commands(lines, [key for key, _ in commands.commands])
            except RedisAway:
                self._local.bulk = None
                if last:
                    raise
        raise AssertionError

    def _by_feast(self, question: Question, entities: Columns, request: Columns, at: Moment) -> Answer:
        when = datetime.fromtimestamp(at.as_of / 1000, UTC) if at.as_of is not None else None
        with reasons() as why, moment.as_of(when) if when else nullcontext():
            try:
                response = self.store.get_online_features(
                    question.asked, {**dict(entities), **dict(request)}, full_feature_names=True
                ).proto
            except (FeastError, KeyError, ValueError) as error:
                raise DefinitionError(
                    f"Feast refuses: {' '.join(str(error).strip(chr(39)).split())}"
                ) from error
        held = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
        values, newest = {}, dict[str, list[str | None]]()
        for name in question.names:
            column = held[name]
            values[name] = columns.clean([feast_value_type_to_python_type(v) for v in column.values])
            newest.setdefault(name.partition("__")[0], _stamps(column))
        known = {v.projection.name_to_use() for v, _ in question.views}
        newest = {view: stamps for view, stamps in newest.items() if view in known}
        return Answer(_text(at), {k: list(v) for k, v in entities.items()}, values, newest, dict(why))


class _Entities:
    """The different entities of a request for one view: `keys`, and each row's place among them."""

    def __init__(self, keys: EntityKeys, values: Mapping[str, Sequence[Any]], rows: int) -> None:
        names = [name for name, _ in keys.join_keys]
        asked = (
            list(values[names[0]]) if len(names) == 1 else list(zip(*(values[n] for n in names), strict=True))
        )
        places: dict[bytes, int] = {}
        self.rows = np.array([places.setdefault(key, len(places)) for key in keys.encode(asked)], int)
        self.keys = list(places)


def _newest(part: Rows | Row, places: np.ndarray) -> list[str | None]:
    if isinstance(part, Row):
        return [moment.text(part.newest) if part.found else None] * len(places)
    texts = np.datetime_as_string(part.newest.astype("datetime64[ms]"), unit="ms").tolist()
    shown = [f"{text}Z" if found else None for text, found in zip(texts, part.found.tolist(), strict=True)]
    return [shown[place] for place in places.tolist()]


def _stamps(column: Any) -> list[str | None]:
    return [
        None
        if not stamp.seconds
        else stamp.ToDatetime(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for stamp in column.event_timestamps
    ]


def _text(at: Moment) -> str:
    return moment.text(at.now if at.as_of is None else at.as_of)
