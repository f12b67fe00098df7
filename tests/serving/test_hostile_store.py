"""A Redis Cluster, damaged rings and an old layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis_server import cluster
from shop import NOW, Payment, Shop

from streaming.errors import TidemarkError
from streaming.ring import RingCodec

MINUTE, HOUR = 60_000, 3_600_000
REFS = ["activity:count_1h", "activity:sum_1h", "profile:tier", "places:last_city"]


def payments(user, *ages):
    return [Payment(user, 1, age, 10.0 + i) for i, age in enumerate(ages)]


def test_a_cluster_answers_as_one_redis_does(tmp_path):
    with cluster(tmp_path / "nodes") as nodes:
        shop = Shop(tmp_path / "spread", nodes.connection, redis_type="redis_cluster")
        users = [f"u{i}" for i in range(12)]
        for view in ("activity", "places"):
            shop.write(view, [p for user in users for p in payments(user, 1_000, MINUTE)])
        for asked in (["u3"], [*users, "nobody"]):
            answer = shop.read(REFS, {"user_id": asked})
            assert answer["sum_1h"] == [None if user == "nobody" else 21.0 for user in asked]
            proto = shop.read_async(
                lambda store, asked=asked: store.get_online_features_async(REFS, {"user_id": asked})
            ).proto
            assert proto == shop.store.get_online_features(REFS, {"user_id": asked}).proto
        table = shop.store.get_stream_feature_view("activity")
        shop.online.delete_table(shop.store.config, table)
        shop.online.catalog._entries.clear()
        assert shop.read(REFS, {"user_id": users})["count_1h"] == [None] * 12
        assert shop.read(REFS, {"user_id": users})["last_city"] == ["Lisbon"] * 12
        shop.store.teardown()
        assert not list(shop.online._get_client(shop.store.config.online_store).scan_iter())


@pytest.mark.parametrize("level", ["", ":head"])
@pytest.mark.parametrize("users", [["damaged"], ["damaged", "other"]])
def test_a_damaged_ring_is_an_error_with_a_remedy(own_shop, level, users):
    own_shop.write("activity", payments("damaged", 1_000))
    with own_shop.client(db=1) as client:
        (key,) = client.keys(b"*damaged*")
        field = f"_ring:activity{level}"
        client.hset(key, field, client.hget(key, field)[:-3])
    with pytest.raises(TidemarkError, match=r"a ring of view activity cannot be read.*tidemark"):
        own_shop.read(REFS, {"user_id": users})


def test_tiles_without_a_header_are_an_error(own_shop):
    own_shop.write("activity", payments("headless", 1_000))
    with own_shop.client(db=1) as client:
        (key,) = client.keys(b"*headless*")
        client.hdel(key, "_ring:activity")
    with pytest.raises(TidemarkError, match="tiles without a header"):
        own_shop.read(REFS, {"user_id": ["headless"]})


@pytest.mark.parametrize("users", [["early"], ["early", "late"]])
def test_a_ring_of_an_older_layout_is_read(own_shop, users):
    """The view got a new statistic; the ring was written before, and its layout is in the engine's notes."""
    view = own_shop.view("activity")
    older = replace(view, slots=tuple(s for s in view.slots if s.part != "m2"))
    names = {f.name for f in view.features if f.function != "std"}
    older = replace(older, features=tuple(f for f in view.features if f.name in names))
    history = payments("early", 1_000, 20 * MINUTE)
    own_shop.write("activity", history, plan=older)
    own_shop.write("activity", payments("late", 1_000), complete_since={"std_1h": NOW - MINUTE})
    answer = own_shop.read(["activity:count_1h", "activity:sum_1h", "activity:std_1h"], {"user_id": users})
    assert answer["count_1h"] == [2, 1][: len(users)]
    assert answer["sum_1h"] == [21.0, 10.0][: len(users)]
    assert answer["std_1h"] == [None] * len(users)
    assert RingCodec(view).fields == RingCodec(older).fields
