"""What else Feast does with its online store: batch views, writes, deletion, configuration."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from feast import FeatureService, FeatureStore, RepoConfig
from feast.protos.feast.types.Value_pb2 import Value
from shop import NOW, Payment, Shop

from streaming import definitions
from streaming.errors import DefinitionError, TidemarkError
from streaming.evaluation import evaluate
from streaming.redis.meta import meta_key
from streaming.redis.wire import encode_values, feature_field
from streaming.ring import RingCodec
from streaming.tiles import concat

MINUTE, HOUR = 60_000, 3_600_000
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def payments(user, *ages, merchant=1):
    return [Payment(user, merchant, age, 10.0 + i) for i, age in enumerate(ages)]


def profiles(shop, *users):
    return [
        (key, {"tier": Value(string_val=f"tier of {user}"), "limit": Value(double_val=i)}, WHEN, None)
        for i, (user, key) in enumerate(zip(users, shop.entity_keys("user_id", users), strict=True))
    ]


def write_profiles(shop, *users):
    table = shop.store.get_feature_view("profile")
    shop.online.online_write_batch(shop.store.config, table, profiles(shop, *users), None)


def stock(shop) -> FeatureStore:
    """The same repo, read by Feast's own Redis store."""
    config = shop.store.config.model_dump(by_alias=True, exclude={"repo_path"})
    config["online_store"] = {"type": "redis", "connection_string": shop.redis}
    return FeatureStore(config=RepoConfig(**{k: v for k, v in config.items() if v is not None}))


def keys_of(shop):
    with shop.client(db=1) as client:
        return sorted(client.keys())


class TestBatchViews:
    REFS = ("profile:tier", "profile:limit")

    def test_are_read_as_feast_reads_them(self, shop):
        write_profiles(shop, "batch-1", "batch-2")
        shop.write("activity", payments("batch-1", 1_000))
        entities = {"user_id": ["batch-2", "batch-1", "absent", "batch-1"]}
        ours = shop.store.get_online_features(list(self.REFS), entities).proto
        assert ours == stock(shop).get_online_features(list(self.REFS), entities).proto
        assert (
            ours.results[1].values[0].string_val in ("tier of batch-2", "")
            or ours.results[2].values[0].string_val
        )

    def test_are_the_same_beside_a_tiled_view(self, shop):
        write_profiles(shop, "beside")
        shop.write("activity", payments("beside", 1_000))
        mixed = [self.REFS[0], "activity:count_1m", self.REFS[1]]
        answer = shop.read(mixed, {"user_id": ["beside", "absent"]})
        assert answer["tier"] == ["tier of beside", None]
        assert answer["count_1m"] == [1, None]

    def test_async_writes_and_reads(self, shop):
        table = shop.store.get_feature_view("profile")

        async def both(store):
            await shop.online.online_write_batch_async(store.config, table, profiles(shop, "async-1"), None)
            return await shop.online.online_read_async(
                store.config, table, shop.entity_keys("user_id", ["async-1"])
            )

        ((stamp, values),) = shop.read_async(both)
        assert (stamp, values["tier"].string_val) == (WHEN, "tier of async-1")

    def test_a_hash_that_they_share_never_expires(self, own_shop):
        shop, table = own_shop, own_shop.store.get_feature_view("profile")
        write_profiles(shop, "lasting")
        with shop.client(db=1) as client:
            (key,) = client.keys()
            client.expire(key, 100)
            write_profiles(shop, "lasting")
            assert client.ttl(key) == -1
            client.expire(key, 100)
            rows = profiles(shop, "lasting")
            shop.read_async(
                lambda store: shop.online.online_write_batch_async(store.config, table, rows, None)
            )
            assert client.ttl(key) == -1


class TestWrites:
    def test_only_the_engine_writes_a_tiled_view(self, shop):
        table = shop.store.get_stream_feature_view("activity")
        with pytest.raises(
            TidemarkError, match=r"view activity is computed from its stream.*tidemark rebuild"
        ):
            shop.online.online_write_batch(shop.store.config, table, [], None)
        with pytest.raises(TidemarkError, match="computed from its stream"):
            asyncio.run(shop.online.online_write_batch_async(shop.store.config, table, [], None))

    def test_stored_vectors_are_refused(self, own_shop):
        activity = own_shop.store.get_stream_feature_view("activity")
        service = FeatureService(name="frozen", features=[activity], precompute_online=True)
        own_shop.store.apply([service])
        with pytest.raises(TidemarkError, match="precompute_online would freeze view activity"):
            own_shop.read(own_shop.store.get_feature_service("frozen"), {"user_id": ["u"]})

    def test_written_features_are_read_by_feasts_own_store(self, own_shop):
        """With write_features the lane puts every feature, as of the newest event, beside the ring."""
        history = payments("twice", 1_000, 30_000, HOUR // 2)
        own_shop.write("activity", history)
        view = own_shop.view("activity")
        codec = RingCodec(view)
        with own_shop.client(db=1) as client:
            (key,) = client.keys(b"*twice*")
            blobs = client.hmget(key, codec.fields)
            headers = codec.decode_headers(blobs[:1])
            tiles = concat(view.slots, [codec.decode_tiles(headers, [blob]) for blob in blobs[1:]])
            features = evaluate(view, tiles, headers.newest)
            for f in view.features:
                (cell,) = encode_values(f.dtype, features.values[f.name], features.valid[f.name])
                client.hset(key, feature_field(view.stored_name, f.name), cell)
        refs = [f"activity:{f.name}" for f in view.features]
        stored = stock(own_shop).get_online_features(refs, {"user_id": ["twice"]}).to_dict()
        own_shop.online.clock = lambda: NOW - 1_000
        assert stored == own_shop.read(refs, {"user_id": ["twice"]})
        assert stored["count_1h"] == [own_shop.expected("activity", history, "count_1h", NOW - 1_000)] == [3]
        assert np.isclose(stored["sum_1h"][0], 33.0)


class TestDeletion:
    def written(self, shop):
        for name in ("activity", "places"):
            shop.write(name, payments("alone", 1_000) if name == "activity" else payments("shared", 1_000))
        shop.write("activity", payments("shared", 1_000))
        shop.write("sales", payments("any", 1_000, merchant=4))
        write_profiles(shop, "shared")

    def test_a_deleted_view_leaves_the_others(self, own_shop):
        self.written(own_shop)
        table = own_shop.store.get_stream_feature_view("activity")
        own_shop.online.delete_table(own_shop.store.config, table)
        own_shop.online.catalog._entries.clear()
        with own_shop.client(db=1) as client:
            assert not client.keys(b"*alone*")
            (shared,) = client.keys(b"*shared*")
            assert not [field for field in client.hkeys(shared) if b"activity" in field]
            assert not client.exists(meta_key(own_shop.store.project, "activity"))
        answer = own_shop.read(
            ["activity:count_1m", "places:last_city", "profile:tier"], {"user_id": ["shared"]}
        )
        assert answer["count_1m"] == [None]
        assert answer["last_city"] == ["Lisbon"]
        assert answer["tier"] == ["tier of shared"]
        assert own_shop.read(["sales:sum_1d"], {"merchant_id": [4]})["sum_1d"] == [10.0]

    def test_a_deleted_batch_view_leaves_the_rings(self, own_shop):
        self.written(own_shop)
        own_shop.online.delete_table(own_shop.store.config, own_shop.store.get_feature_view("profile"))
        answer = own_shop.read(["activity:count_1m", "profile:tier"], {"user_id": ["shared"]})
        assert (answer["count_1m"], answer["tier"]) == ([1], [None])

    def test_feast_apply_without_a_view_deletes_it(self, own_shop):
        self.written(own_shop)
        gone = own_shop.store.get_stream_feature_view("places")
        service = own_shop.store.get_feature_service("everything")
        own_shop.store.apply([], objects_to_delete=[gone, service], partial=False)
        with own_shop.client(db=1) as client:
            (shared,) = client.keys(b"*shared*")
            assert not [field for field in client.hkeys(shared) if b"places" in field]
        assert own_shop.read(["activity:count_1m"], {"user_id": ["shared"]})["count_1m"] == [1]

    def test_without_a_scan_the_rings_stay_but_are_not_trusted(self, redis_store, tmp_path):
        shop = Shop(tmp_path / "unscanned", f"{redis_store.connection},db=1", full_scan_for_deletion=False)
        self.written(shop)
        table = shop.store.get_stream_feature_view("activity")
        shop.online.update(shop.store.config, [table], [], [], [], True)
        shop.online.catalog._entries.clear()
        assert shop.read(["activity:count_1m"], {"user_id": ["shared"]})["count_1m"] == [None]

    def test_teardown_leaves_another_project_alone(self, own_shop, redis_store, tmp_path):
        other = Shop(tmp_path / "her_own", own_shop.redis)  # its name ends with that of the first
        for shop in (own_shop, other):
            self.written(shop)
        before = keys_of(own_shop)
        own_shop.store.teardown()
        left = keys_of(own_shop)
        assert left == [key for key in before if key.endswith(b"her_own") or b":her_own:" in key]
        assert other.read(["activity:count_1m"], {"user_id": ["shared"]})["count_1m"] == [1]


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "remedy"),
        [
            ({"key_ttl_seconds": 60}, "key_ttl_seconds would drop rings.*expire: true"),
            ({"expire": True, "leading_edge": "latest_event"}, "remove one of them"),
        ],
    )
    def test_what_excludes_each_other_is_refused_in_one_line(self, tmp_path, options, remedy):
        with pytest.raises(DefinitionError, match=remedy) as refused:
            Shop(tmp_path / "refused", "localhost:1", **options)
        assert "\n" not in str(refused.value)
        with pytest.raises(DefinitionError, match=remedy):
            definitions.load(tmp_path / "refused")

    @pytest.mark.parametrize(
        ("options", "named"),
        [({"leading_edge": "yesterday"}, "wall_clock"), ({"leading_egde": "wall_clock"}, "leading_egde")],
    )
    def test_what_does_not_exist_is_refused(self, tmp_path, options, named):
        with pytest.raises(Exception, match=f"(?s){named}"):
            Shop(tmp_path / "refused", "localhost:1", **options)

    def test_defaults(self, shop):
        config = shop.store.config.online_store
        assert (config.leading_edge, config.write_features, config.expire) == ("wall_clock", False, False)
