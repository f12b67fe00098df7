"""A Redis that goes away, forgets, may evict, or is a cluster."""

import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from lane_orders import wave, wrong, wrong_updates
from lane_world import World, running
from redis_server import Server, cluster, server, wait_for

from streaming.errors import LostWritesError, ServiceError

MINUTE = 60_000
VIEWS = ["pair_orders", "shop_orders"]
DURABLE = ("appendonly yes", "appendfsync always")


def make(tmp_path: Path, kafka: str, topic: Callable[..., str], connection: str) -> World:
    return World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, connection, topic)


def assert_right(world: World, spark, at: int) -> None:
    for view in world.plan(spark, VIEWS).views:
        assert not wrong(world, view, lambda _: at)


@pytest.mark.chaos
def test_redis_away_for_a_moment_and_for_longer_than_the_lease(
    tmp_path: Path, kafka: str, topic: Callable[..., str], spark
) -> None:
    """Killed while batches run, and while nothing happens; nobody restarts the lane."""
    now = int(time.time() * 1000)
    with server(tmp_path / "redis", *DURABLE) as redis:
        world = make(tmp_path, kafka, topic, redis.connection)
        lines: list[dict] = []
        seen = lambda: sum(line["read"] for line in lines if not line["repair"])  # noqa: E731
        lane = world.lane(
            spark, VIEWS, on_batch=lines.append, max_events=250, lease_seconds=2, backoff_seconds=1
        )
        with running(lane) as raised:
            world.send(wave(1, 1000, now - 60 * MINUTE, now - 30 * MINUTE))
            wait_for(lambda: lines or raised, 120)
            redis.kill()  # in the middle of a batch, back before the lease ends
            redis.start()
            wait_for(lambda: seen() == 1000 or raised, 120)
            redis.kill()
            time.sleep(3.0)  # nothing to do, and the lease ends meanwhile
            world.send(wave(2, 400, now - 30 * MINUTE, now - MINUTE))
            time.sleep(1.0)
            redis.start()
            wait_for(lambda: seen() == 1400 or raised, 120)
        assert not raised
        assert all(view["unaccounted"] == 0 for line in lines for view in line["views"].values())
        assert_right(world, spark, now)
        for view in world.plan(spark, VIEWS).views:
            assert not wrong_updates(world, view)


def test_redis_restored_from_an_older_snapshot(
    tmp_path: Path, kafka: str, topic: Callable[..., str], spark
) -> None:
    """The batches it lost are run again; without the ledger that names them the lane refuses."""
    now = int(time.time() * 1000)
    with server(tmp_path / "redis") as redis:
        world = make(tmp_path, kafka, topic, redis.connection)
        world.send(wave(1, 500, now - 90 * MINUTE, now - 60 * MINUTE))
        world.run(spark, views=VIEWS, max_events=200)
        snapshot(redis, tmp_path / "old.rdb")
        world.send(wave(2, 700, now - 65 * MINUTE, now - 30 * MINUTE))
        lost = [line["batch"] for line in world.run(spark, views=VIEWS, max_events=200)]
        assert len(lost) > 2
        restore(redis, tmp_path / "old.rdb")
        assert any(wrong(world, view, lambda _: now) for view in world.plan(spark, VIEWS).views)

        world.send(wave(3, 300, now - 35 * MINUTE, now - MINUTE))
        lines = world.run(spark, views=VIEWS, max_events=200)
        assert [line["batch"] for line in lines][: len(lost)] == lost, "replayed first, in order"
        assert_right(world, spark, now)
        for view in world.plan(spark, VIEWS).views:
            assert not wrong_updates(world, view)

        restore(redis, tmp_path / "old.rdb")
        shutil.rmtree(world.checkpoint / "ledger")
        world.send(wave(4, 50, now - MINUTE, now))
        with pytest.raises(
            LostWritesError, match="run `tidemark rebuild`, or `tidemark stream reset` to start over"
        ):
            world.run(spark, views=VIEWS)

        redis.client().flushall()
        with pytest.raises(LostWritesError, match="has no marker of this lane: run `tidemark rebuild`"):
            world.run(spark, views=VIEWS)


def snapshot(redis: Server, to: Path) -> None:
    redis.client().save()
    shutil.copy(redis.directory / "dump.rdb", to)


def restore(redis: Server, source: Path) -> None:
    redis.kill()
    shutil.copy(source, redis.directory / "dump.rdb")
    redis.start()


def test_a_cluster_one_node_of_which_forgets(
    tmp_path: Path, kafka: str, topic: Callable[..., str], spark
) -> None:
    """Rings on three nodes; one comes back as it was some batches ago, the others are ahead of it."""
    now = int(time.time() * 1000)
    with cluster(tmp_path / "redis") as nodes:
        world = make(tmp_path, kafka, topic, nodes.connection)
        world.store_options = {"redis_type": "redis_cluster"}
        world.apply()
        world.send(wave(1, 400, now - 90 * MINUTE, now - 60 * MINUTE))
        world.run(spark, views=VIEWS, max_events=200)
        assert all(node.client().dbsize() for node in nodes.nodes)
        assert_right(world, spark, now)
        snapshot(nodes.nodes[1], tmp_path / "old.rdb")
        world.send(wave(2, 600, now - 65 * MINUTE, now - 10 * MINUTE))
        world.run(spark, views=VIEWS, max_events=200)
        restore(nodes.nodes[1], tmp_path / "old.rdb")
        wait_for(lambda: all(n.client().cluster("INFO")["cluster_state"] == "ok" for n in nodes.nodes))

        world.send(wave(3, 100, now - 10 * MINUTE, now - MINUTE))
        lines = world.run(spark, views=VIEWS, max_events=200)
        views = [view for line in lines for view in line["views"].values()]
        assert any(0 < view["replayed"] < view["entities"] for view in views), "the other nodes lost nothing"
        assert_right(world, spark, now)


def test_a_redis_that_may_evict_is_refused(
    tmp_path: Path, kafka: str, topic: Callable[..., str], spark
) -> None:
    with server(tmp_path / "redis", "maxmemory-policy allkeys-lru") as redis:
        world = make(tmp_path, kafka, topic, redis.connection)
        with pytest.raises(ServiceError, match=r"may evict rings .*set maxmemory-policy noeviction"):
            world.run(spark, views=VIEWS)
