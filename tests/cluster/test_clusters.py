"""The online lane on clusters whose machines go away: Spark's, Kafka's and Redis'. Results are the oracle's."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from awake import wait_awake
from lane_child import child
from lane_orders import wave, wrong, wrong_updates
from lane_world import World, running
from redis_server import Server, cluster
from three_brokers import addresses, three_brokers
from three_brokers import topic as replicated

from benchmarks.standalone import standalone
from tidemark.jars import spark_jars

pytestmark = pytest.mark.chaos
MINUTE = 60_000
VIEWS = ["pair_orders", "shop_orders"]
SUBMIT = Path(__file__).parents[2] / "streaming" / "spark-submit.sh"


def send(world: World, seed: int, count: int, begin: int = 60, end: int = 1) -> None:
    now = int(time.time() * 1000)
    world.send(wave(seed, count, now - begin * MINUTE, now - end * MINUTE))


def assert_right(world: World, spark) -> None:
    now = int(time.time() * 1000)
    for view in world.plan(spark, VIEWS).views:
        assert not wrong(world, view, lambda _: now)
        assert not wrong_updates(world, view)


def test_a_worker_is_killed_and_replaced(world: World, spark, tmp_path: Path) -> None:
    """By spark-submit.sh on a master and two workers. With one of them gone the lane goes on, and with a third one too."""
    with standalone(tmp_path / "cluster") as machines:
        given = ("--master", machines.url, "--executor-memory", "512m", "--executor-cores", "1")
        small = ("--driver-memory", "1g", "--conf", "spark.executor.memoryOverhead=384m")
        jars = ("--jars", ",".join(map(str, spark_jars())))
        command = ("sh", str(SUBMIT), "online", *given, *small, *jars, "--")
        send(world, 1, 400)
        views = ("--views", ",".join(VIEWS), "--max-events", "200")
        with child(world, *views, command=command, SPARK_LOCAL_IP="127.0.0.1") as lane:
            read = lambda: 9999 if lane.process.poll() is not None else sum(l["read"] for l in lane.lines)  # noqa: E731, E741
            wait_awake(lambda: read() >= 200)
            machines.kill(machines.workers[0])
            send(world, 2, 400)
            wait_awake(lambda: read() >= 800)
            machines.add()
            machines.kill(machines.workers[1])
            send(world, 3, 400)
            wait_awake(lambda: read() >= 1200)
            assert lane.process.poll() is None, lane.said
            lane.process.send_signal(signal.SIGTERM)
            assert lane.wait(60) == 0, lane.said
        assert all(view["unaccounted"] == 0 for line in lane.lines for view in line["views"].values())
    assert_right(world, spark)


def test_a_broker_of_three_is_killed(tmp_path: Path, redis_server: str, spark) -> None:
    """Whichever leads a partition: what two replicas have acknowledged stays, and the lane goes on by itself."""
    with three_brokers(tmp_path / "kafka") as nodes:
        kafka = addresses(nodes)
        make = lambda partitions=1, name="t": replicated(kafka, partitions, name)  # noqa: E731
        world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, make)
        send(world, 1, 300)
        lines: list[dict] = []
        lane = world.lane(spark, VIEWS, on_batch=lines.append, max_events=100, backoff_seconds=1)
        read = lambda: sum(line["read"] for line in lines)  # noqa: E731
        with running(lane) as raised:
            wait_awake(lambda: lines or raised)
            for turn, node in enumerate(nodes[:2], 2):
                node.kill()
                send(world, turn, 300)
                wait_awake(lambda turn=turn: read() == turn * 300 or raised)
                node.start(120)
        assert not raised
        assert_right(world, spark)


def test_a_master_of_three_fails_over_to_a_replica_that_lacks_writes(
    tmp_path: Path, kafka: str, topic: Callable[..., str], spark
) -> None:
    """Redis Cluster of 3 + 3. The replica hears nothing more, the lane goes on, the master dies: what is missing is replayed."""
    with cluster(tmp_path / "masters") as formed:
        options = ["cluster-enabled yes", "cluster-node-timeout 2000"]
        replicas = [Server(tmp_path / f"replica-{n}", list(options)) for n in range(3)]
        try:
            for n, replica in enumerate(replicas):
                replica.start()
                formed.join(replica, replica_of=n)
            world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, formed.connection, topic)
            world.store_options = {"redis_type": "redis_cluster"}
            world.apply()
            lines: list[dict] = []
            lane = world.lane(
                spark, VIEWS, on_batch=lines.append, max_events=100, lease_seconds=4, backoff_seconds=1
            )
            read = lambda: sum(line["read"] for line in lines if not line["repair"])  # noqa: E731
            send(world, 1, 300)
            with running(lane) as raised:
                wait_awake(lambda: read() == 300 or raised)
                deaf, master = replicas[1], formed.nodes[1]
                assert deaf.process
                os.kill(deaf.process.pid, signal.SIGSTOP)
                master.client().execute_command("CLIENT", "KILL", "TYPE", "replica")
                send(world, 2, 300)
                wait_awake(lambda: read() > 400 or raised)
                master.kill()
                os.kill(deaf.process.pid, signal.SIGCONT)
                send(world, 3, 200)
                wait_awake(lambda: read() == 800 or raised)
            assert not raised
            assert deaf.client().info("replication")["role"] == "master"
            assert any(line["repair"] for line in lines), "the replica lacked writes, which nobody noticed"
            assert_right(world, spark)
        finally:
            for replica in replicas:
                replica.kill()
