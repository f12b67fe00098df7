"""`expire: true`: an idle entity is gone when its windows are empty, and what Feast wrote beside it never is."""

import json
import time

import pandas as pd
import pytest
from lane_world import World, iso, running
from redis import Redis
from redis_server import wait_for

from streaming.redis.wire import EntityKeys

LIVES = 4_000 + 2 * 3_000
"""ms: the longest window of a user and twice its source's skew."""


@pytest.fixture
def brief(world: World) -> World:
    world.definitions = "brief_definitions.py"
    world.store_options = {"expire": "true"}
    (world.repo / "registry.db").unlink()
    world.apply()
    return world


def order(world: World) -> int:
    """Send an order of user ann at shop 7; its time."""
    at = int(time.time() * 1000)
    values = {"event_time": iso(at), "user_id": "ann", "shop_id": 7}
    world.send([("orders", 0, json.dumps(values).encode(), at)])
    return at


def read(world: World, *features: str) -> dict[str, tuple]:
    """Value and status (1 present, 3 not found) of each feature, now."""
    world.now = int(time.time() * 1000)
    rows = [{"user_id": "ann", "shop_id": 7}]
    proto = world.store().get_online_features(list(features), rows, full_feature_names=True).proto
    return {
        name: (getattr(column.values[0], column.values[0].WhichOneof("val") or "", None), column.statuses[0])
        for name, column in zip(proto.metadata.feature_names.val, proto.results, strict=True)
        if "__" in name
    }


def test_idle_users_expire_and_come_back_and_shops_with_a_profile_stay(brief: World, spark) -> None:
    users, shops = (("user_id", "STRING"),), (("shop_id", "INT64"),)
    (ann,) = EntityKeys(brief.project, users).encode(["ann"])
    (shop,) = EntityKeys(brief.project, shops).encode([7])
    profile = pd.DataFrame({"shop_id": [7], "owner": ["Bo"], "event_time": [pd.Timestamp.now("UTC")]})
    host, port = brief.redis.split(":")
    with Redis(host, int(port)) as redis, running(brief.lane(spark, ["user_now", "shop_now"])) as raised:
        brief.store().write_to_online_store("shop_profile", profile)
        redis.pexpire(shop, 60_000)
        sent = order(brief)
        wait_for(lambda: redis.exists(ann) or raised, 60)
        # The lane computes the window of two seconds alone; that of four may be another lane's.
        assert LIVES - 2_000 < redis.pttl(ann) <= LIVES
        wait_for(lambda: redis.pttl(shop) == -1 or raised, 60)
        while redis.pttl(ann) > LIVES - 2_000:
            time.sleep(0.1)
        again = order(brief)
        wait_for(lambda: redis.pttl(ann) > LIVES - 2_000 or raised, 60)
        wait_for(lambda: not redis.exists(ann) or raised, 30)
        assert time.time() * 1000 >= again + 4_000 > sent + 4_000
        assert redis.pttl(shop) == -1
        idle = read(brief, "user_now:orders", "shop_now:orders", "shop_profile:owner")
        assert idle == {
            "user_now__orders": (None, 3),
            "shop_now__orders": (0, 1),
            "shop_profile__owner": ("Bo", 1),
        }
        order(brief)
        wait_for(lambda: redis.exists(ann) or raised, 60)
        assert read(brief, "user_now:orders")["user_now__orders"][1] == 1
    assert not raised
