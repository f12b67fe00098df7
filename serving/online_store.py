"""Feast's Redis store, where stream views are computed from their rings at the moment of the read.

In feature_store.yaml:

    online_store:
        type: serving.online_store.TiledRedisOnlineStore
        connection_string: localhost:6379
        leading_edge: wall_clock    # or latest_event

Views without aggregations are read and written as Feast's own Redis store does.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig, utils
from feast.infra.online_stores.redis import RedisClient, RedisOnlineStore, RedisOnlineStoreConfig
from pydantic import model_validator

from serving import deletion, moment
from serving.catalog import Catalog, is_tiled, stored_view
from serving.incomplete import Notices
from serving.reader import LeadingEdge, Moment
from serving.request import (
    Command,
    Entities,
    FeatureRow,
    Part,
    Questions,
    Reply,
    StockPart,
    TiledPart,
    key_columns,
)
from streaming import lazy_spark
from streaming.errors import DefinitionError, TidemarkError
from streaming.redis.meta import meta_key
from streaming.redis.target import with_password
from streaming.redis.wire import EntityKeys
from streaming.ring import RingCodec

STORE: Literal["serving.online_store.TiledRedisOnlineStore"] = "serving.online_store.TiledRedisOnlineStore"

# Feast loads this module before any view: reading features needs no Java.
lazy_spark.install()


class TiledRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """Settings of Feast's Redis store, and ours.

    `leading_edge` says when features are evaluated: now, or at the entity's newest event.
    `write_features` makes the online lane write every feature in Feast's own layout as well, as of
    the entity's newest event, for stock Feast clients. `expire` lets Redis drop an entity that has
    been idle for the longest window of its views. Raises DefinitionError for settings that exclude
    each other.
    """

    type: Literal["serving.online_store.TiledRedisOnlineStore"] = STORE  # type: ignore[assignment]
    leading_edge: LeadingEdge = "wall_clock"
    write_features: bool = False
    expire: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> TiledRedisOnlineStoreConfig:
        if self.key_ttl_seconds:
            raise DefinitionError(
                "key_ttl_seconds would drop rings together with the values it is meant for: "
                "remove it, or set expire: true to drop idle entities"
            )
        if self.expire and self.leading_edge == "latest_event":
            raise DefinitionError(
                "expire: true would drop what leading_edge: latest_event keeps: remove one of them"
            )
        return self


class TiledRedisOnlineStore(RedisOnlineStore):
    """Feast's Redis store with computed stream views; `clock` is what `wall_clock` means."""

    def __init__(self, clock: moment.Clock = moment.wall_clock) -> None:
        self.clock = clock
        self.catalog = Catalog()
        self._notices = Notices()
        self._types: dict[Any, tuple[list[weakref.ref[Any]], dict[str, Any]]] = {}

    @staticmethod
    def _parse_connection_string(connection_string: str) -> Any:
        """As Feast's own, also with `password_file=PATH`."""
        return RedisOnlineStore._parse_connection_string(with_password(connection_string))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[FeatureRow]:
        """As Feast's own, but a tiled view is computed, and unknown entities are (None, None)."""
        if not is_tiled(table):
            return super().online_read(config, table, entity_keys, requested_features)
        (part,) = self._read(config, *self._one(table, entity_keys, requested_features))
        return part.feature_rows()

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[FeatureRow]:
        """As `online_read`."""
        if not is_tiled(table):
            return await super().online_read_async(config, table, entity_keys, requested_features)
        (part,) = await self._read_async(config, *self._one(table, entity_keys, requested_features))
        return part.feature_rows()

    @staticmethod
    def _one(table: FeatureView, entity_keys: list[Any], names: list[str] | None) -> tuple[Any, Any]:
        wanted = names or [feature.name for feature in table.features]
        return [(table, wanted)], (key_columns(entity_keys), None)

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: Any,
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        for part in self._read(config, grouped_refs, (join_key_values, entity_name_to_join_key_map)):
            part.fill(online_features_response, full_feature_names, include_feature_view_version_metadata)

    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: Any,
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        values = join_key_values, entity_name_to_join_key_map
        for part in await self._read_async(config, grouped_refs, values):
            part.fill(online_features_response, full_feature_names, include_feature_view_version_metadata)

    def _read(self, config: RepoConfig, refs: Any, values: Any) -> list[Any]:
        """The parts of a request, computed; all views are fetched in one round trip."""
        tables = [table for table, _ in refs]
        client = self._get_client(config.online_store)
        if self.catalog.stale(config, tables):
            self.catalog.refresh(config, tables, client)
        questions, parts = self._parts(config, refs, values)
        replies = self._fetch(config, questions.commands)
        try:
            return _taken(parts, replies)
        except moment.AsOfError:
            raise
        except TidemarkError:
            # The lane may have begun a new layout since the catalog was refreshed.
            if not self.catalog.refresh(config, tables, client):
                raise
        return _taken(self._parts(config, refs, values)[1], replies)

    async def _read_async(self, config: RepoConfig, refs: Any, values: Any) -> list[Any]:
        tables = [table for table, _ in refs]
        sync_client = self._get_client(config.online_store)
        if self.catalog.stale(config, tables):
            await asyncio.to_thread(self.catalog.refresh, config, tables, sync_client)
        questions, parts = self._parts(config, refs, values)
        client = await self._get_client_async(config.online_store)
        async with client.pipeline(transaction=False) as pipe:
            for key, fields in questions.commands:
                pipe.hmget(key, fields)
            replies = await pipe.execute()
        try:
            return _taken(parts, replies)
        except moment.AsOfError:
            raise
        except TidemarkError:
            if not await asyncio.to_thread(self.catalog.refresh, config, tables, sync_client):
                raise
        return _taken(self._parts(config, refs, values)[1], replies)

    def _parts(self, config: RepoConfig, refs: Any, values: Any) -> tuple[Questions, list[Part]]:
        at = Moment(self.clock(), moment.asked(), config.online_store.leading_edge)
        questions, parts = Questions(), list[Part]()
        shared: dict[Any, Entities] = {}
        for table, names in refs:
            if not is_tiled(table):
                parts.append(StockPart(table, names, self, config, values, questions))
                continue
            reader = self.catalog.reader(config, table)
            same = (reader.view.join_keys, tuple(table.projection.join_key_map.items()))
            if same not in shared:
                columns, join_keys = values
                if join_keys is not None:
                    columns = utils._get_table_entity_values(table, join_keys, columns)
                shared[same] = Entities(table.name, reader.keys, columns)
            part = TiledPart(table, names, reader, shared[same], at, questions, self._notices)
            parts.append(part)
        return questions, parts

    def _fetch(self, config: RepoConfig, commands: list[Command]) -> Any:
        if len(commands) == 1 and config.online_store.client == RedisClient.redis:
            key, fields = commands[0]
            return [self._get_client(config.online_store).hmget(key, fields)]
        return self._read_hash_fields(config, commands)

    def _build_feature_types(self, grouped_refs: Any) -> Any:  # type: ignore[override]
        """As Feast's own, which looks every name up for every request; remembered here."""
        key = tuple(
            (table.projection.name_to_use(), id(table), tuple(names)) for table, names in grouped_refs
        )
        known = self._types.get(key)
        # A table that is gone may have left its id to another.
        if known is None or any(
            ref() is not table for ref, (table, _) in zip(known[0], grouped_refs, strict=True)
        ):
            if len(self._types) > 1_000:
                self._types.clear()
            tables = [weakref.ref(table) for table, _ in grouped_refs]
            known = self._types[key] = tables, super()._build_feature_types(grouped_refs)
        return dict(known[1])

    def _try_precomputed_fast_path(self, *args: Any) -> bool:  # type: ignore[override]
        """As Feast's own. Raises TidemarkError for a service with computed views: stored vectors do not age."""
        tiled = [table.name for table, _ in args[6] if is_tiled(table)]
        if tiled:
            raise TidemarkError(
                f"precompute_online would freeze view {tiled[0]}, whose features age: remove it from the service"
            )
        return super()._try_precomputed_fast_path(*args)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Any], progress: Callable[[int], Any] | None
    ) -> None:
        """As Feast's own, for good. Raises TidemarkError for a tiled view, whose only writer is the engine."""
        _refuse_tiled(table)
        # Before the write: a ring's expiry, also one of an earlier setting, must not take these values along.
        with self._get_client(config.online_store).pipeline(transaction=False) as pipe:
            for key in self._generate_redis_keys_for_entities(config, [row[0] for row in data]):
                pipe.persist(key)
            pipe.execute()
        super().online_write_batch(config, table, data, progress)

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[Any], progress: Callable[[int], Any] | None
    ) -> None:
        """As `online_write_batch`."""
        _refuse_tiled(table)
        client = await self._get_client_async(config.online_store)
        async with client.pipeline(transaction=False) as pipe:
            for key in self._generate_redis_keys_for_entities(config, [row[0] for row in data]):
                pipe.persist(key)
            await pipe.execute()
        await super().online_write_batch_async(config, table, data, progress)

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Delete what is stored of a view; of a tiled one also its rings and what the engine noted of it."""
        if not is_tiled(table):
            super().delete_table(config, table)
            return
        view = stored_view(table, config)
        client = self._get_client(config.online_store)
        # Without its notes a ring is not trusted, so they go first: what is half deleted is never served.
        client.delete(meta_key(view.project, view.stored_name))
        keys = EntityKeys(view.project, view.join_keys)
        features = [feature.name for feature in table.features]
        deletion.delete_view(client, keys, view.stored_name, RingCodec(view).fields, features)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """As Feast's own. With `full_scan_for_deletion: false` the rings of a deleted view stay, unread."""
        for table in tables_to_delete:
            if is_tiled(table):
                view = stored_view(table, config)
                self._get_client(config.online_store).delete(meta_key(view.project, view.stored_name))
        super().update(
            config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial
        )

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete all that is stored of the project, stream views and the engine's notes included.

        Feast names its batch views only. A lane whose notes are gone takes no empty Redis for a full one.
        """
        deletion.delete_project(self._get_client(config.online_store), config.project)
        super().teardown(config, tables, entities)

    def delete_entity_values(self, config: RepoConfig, join_keys: list[str]) -> None:
        """As Feast's own, but only of this project, not of every project whose name ends with its name."""
        keys = EntityKeys(config.project, tuple((name, "STRING") for name in join_keys))
        deletion.delete_entities(self._get_client(config.online_store), keys)


def _taken(parts: list[Part], replies: Sequence[Reply]) -> list[Part]:
    for part in parts:
        part.take(replies)
    return parts


def _refuse_tiled(table: FeatureView) -> None:
    if is_tiled(table):
        raise TidemarkError(
            f"view {table.name} is computed from its stream: fill its past with `tidemark rebuild`, "
            "and name the other views in feast materialize --views"
        )
