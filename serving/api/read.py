"""Features by columns, from Redis to JSON, without an object for each value on the way.

Feast's own server spends most of a large read in making a protobuf message of every value, and a dictionary
of every message again. Here each view's rings are fetched for all entities in one round trip, computed as
arrays and written as lists. What cannot be computed from rings is read through Feast.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from feast import FeatureStore
from feast.errors import FeastError
from feast.type_map import feast_value_type_to_python_type

from serving import moment
from serving.api import columns
from serving.api.check import Columns, checked
from serving.api.line import Line
from serving.api.question import Question, Questions
from serving.api.reading import Answer, Reading, answered_for
from serving.incomplete import reasons
from serving.online_store import TiledRedisOnlineStore
from serving.reader import Moment
from streaming.errors import DefinitionError, TidemarkError
from streaming.redis.bulk import Bulk, RedisAway, RedisTarget

FEW = 32
"""Entities of a read that the event loop computes itself: as long as changing threads would take."""


class FeatureReader:
    """Reads features of one repo, from threads of the caller's or from one event loop.

    Raises DefinitionError for another store than ours.
    """

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
        self.line = Line(self.target)

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
        checked(question, entities, request or {})
        at = Moment(self.online.clock(), as_of, self.store.config.online_store.leading_edge)
        if not question.computed:
            return self._by_feast(question, entities, request or {}, at)
        catalog, config = self.online.catalog, self.store.config
        tables = [view for view, _ in question.views]
        client = self.online._get_client(config.online_store)
        if catalog.stale(config, tables):
            catalog.refresh(config, tables, client)
        reading = Reading(catalog, config, question, entities, request or {}, at)
        replies = self._fetch(reading)
        try:
            return reading.answer(replies)
        except moment.AsOfError:
            raise
        except TidemarkError:
            # The lane may have begun a new layout since the catalog was refreshed.
            if not catalog.refresh(config, tables, client):
                raise
        return reading.answer(replies)

    async def read_few(
        self,
        features: str | Sequence[str],
        entities: Columns,
        request: Columns | None = None,
        as_of: int | None = None,
    ) -> Answer | None:
        """As `read`, on the event loop; None where that has to wait, or to run a formula: read in a thread then."""
        if max(map(len, entities.values()), default=0) > FEW:
            return None
        question = self.questions.known(features)
        if question is None or question.formulas or not question.computed:
            return None
        checked(question, entities, request or {})
        catalog, config = self.online.catalog, self.store.config
        if catalog.stale(config, [view for view, _ in question.views]):
            return None
        at = Moment(self.online.clock(), as_of, config.online_store.leading_edge)
        reading = Reading(catalog, config, question, entities, request or {}, at)
        replies = await self.line.replies(reading.commands)
        if replies is None:
            return None
        try:
            return reading.answer(replies)
        except moment.AsOfError:
            raise
        except TidemarkError:
            return None

    def _fetch(self, reading: Reading) -> list[list[bytes | None]]:
        """Replies of all commands, over a connection of this thread's; once again when it was lost."""
        for last in (False, True):
            bulk: Bulk | None = getattr(self._local, "bulk", None)
            try:
                if bulk is None:
                    bulk = self._local.bulk = Bulk(self.target)
                return bulk.commands(reading.commands, reading.keys)
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
        return Answer(answered_for(at), {k: list(v) for k, v in entities.items()}, values, newest, dict(why))


def _stamps(column: Any) -> list[str | None]:
    return [
        None
        if not stamp.seconds
        else stamp.ToDatetime(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for stamp in column.event_timestamps
    ]
