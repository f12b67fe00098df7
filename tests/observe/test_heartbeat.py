"""Heartbeats go the whole way, and count for nobody else."""

from __future__ import annotations

import json
import random
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from lane_orders import Good, order
from lane_world import World, read_topic, running

from serving.heartbeat import ENTITY, Heartbeat

VIEWS = ("user_orders", "shop_orders", "user_visits")


@pytest.fixture
def world(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str]) -> World:
    return World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)


def sample(name: str, view: str) -> float:
    return REGISTRY.get_sample_value(name, {"view": view}) or 0.0


def test_a_heartbeat_is_read_by_every_view_of_its_source_and_by_nobody_else(world: World, spark) -> None:
    now = int(time.time() * 1000)
    event = order(random.Random(1), 1, now, user_id="user 1", shop_id=3, amount=2.0, status="paid")
    world.send([("orders", 0, b"{broken", None), ("orders", 0, json.dumps(event).encode(), Good(now, event))])
    heart = Heartbeat(world.plan(spark, VIEWS), world.store("wall_clock"), timeout=60)
    heart.store._get_provider().online_store.clock = lambda: int(time.time() * 1000)
    with running(world.lane(spark, VIEWS)) as raised:
        first, second = heart.beat(), heart.beat()
    assert not raised
    # Nothing was ever sent to visits, so there is nothing to copy.
    assert first.keys() == second.keys() == {"user_orders", "shop_orders"}
    assert all(0 < seconds < 60 for seconds in [*first.values(), *second.values()])
    for view in first:
        assert sample("tidemark_heartbeat_seconds_count", view) == 2
        assert sample("tidemark_heartbeats_lost_total", view) == 0

    sent = [json.loads(m.value) for m in read_topic(world.kafka, world.given["orders"])[2:]]
    assert [(e["user_id"], e["shop_id"]) for e in sent] == [(ENTITY, -1)] * 2
    assert len({e["order_id"] for e in (*sent, event)}) == 3
    read = heart.store.get_online_features(
        ["user_orders:all_count_600_30"], [{"user_id": "user 1"}, {"user_id": ENTITY}]
    ).to_dict()
    assert read["all_count_600_30"] == [1, 2]


def test_a_heartbeat_that_does_not_come_back_is_counted(world: World, spark) -> None:
    now = int(time.time() * 1000)
    event = order(random.Random(1), 1, now, user_id="user 1", shop_id=3)
    world.send([("orders", 0, json.dumps(event).encode(), Good(now, event))])
    lost = sample("tidemark_heartbeats_lost_total", "pair_orders")
    assert Heartbeat(world.plan(spark, ("pair_orders",)), world.store(), timeout=0.3).beat() == {}
    assert sample("tidemark_heartbeats_lost_total", "pair_orders") == lost + 1
