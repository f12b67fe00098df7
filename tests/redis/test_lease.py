"""Leases on a real Redis: one holder at a time, growing epochs, and what happens when a holder dies."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import Cluster, Server, server, wait_for

from streaming.errors import FencedError
from streaming.redis.bulk import RedisTarget
from streaming.redis.lease import Lease, Owner, host_name

HOLD = """
import sys, time
from streaming.redis.bulk import RedisTarget
from streaming.redis.lease import Lease
print(Lease(RedisTarget(sys.argv[1]), "proj", "online", ttl=60).acquire(), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("lease")) as running:
        yield running


@pytest.fixture
def target(redis: Server) -> RedisTarget:
    redis.client().flushall()
    return RedisTarget(redis.connection)


def test_epochs_grow_over_releases(target: RedisTarget) -> None:
    for epoch in (1, 2, 3):
        with Lease(target, "proj", "online") as lease:
            assert lease.epoch == epoch
            assert not lease.lost
    assert Lease(target, "proj", "other lane").acquire() == 1
    lease = Lease(target, "proj", "online")
    assert lease.acquire(at_least=41) == 42, "rings may hold a later epoch than a restored Redis"
    lease.release()


def test_a_second_lane_is_told_who_holds_it(target: RedisTarget) -> None:
    owner = Owner("elsewhere/abc", 4711, 1.0)
    holder = Lease(target, "proj", "online", ttl=30, owner=owner)
    holder.acquire()
    with pytest.raises(
        FencedError, match=r"online is being written by process 4711 on elsewhere: stop it"
    ) as told:
        Lease(target, "proj", "online").acquire()
    assert "\n" not in str(told.value)
    assert not holder.lost
    holder.release()


def test_renewal_outlasts_the_term(target: RedisTarget) -> None:
    holder = Lease(target, "proj", "online", ttl=0.3)
    holder.acquire()
    time.sleep(0.8)
    with pytest.raises(FencedError):
        Lease(target, "proj", "online").acquire()
    holder.check()
    holder.release()


def test_a_dead_process_of_this_machine_loses_it_at_once(target: RedisTarget, redis: Server) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, redis.connection],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "1\n"
        with pytest.raises(FencedError, match=f"process {holder.pid} on"):
            Lease(target, "proj", "online").acquire()
        holder.kill()
        holder.wait()
        lease = Lease(target, "proj", "online")
        assert lease.acquire() == 2
        lease.release()


def test_a_silent_holder_elsewhere_loses_it_after_its_term(target: RedisTarget, redis: Server) -> None:
    """The first holder's renewals stop; the second waits for the term and the first knows that it lost."""
    first = Lease(target, "proj", "online", ttl=0.6, owner=Owner("elsewhere", 1, 1.0))
    assert first.acquire() == 1
    first._ended.set()  # its renewals stop, as in a process that hangs
    with pytest.raises(FencedError):
        Lease(target, "proj", "online").acquire()
    wait_for(lambda: first.lost)
    with Lease(target, "proj", "online") as second:
        assert second.epoch == 2
        with pytest.raises(FencedError, match="the lease on online was lost"):
            first.check()
        first.release()
        assert redis.client().hexists("tidemark:lease:proj:online", "token"), "a lost lease releases nothing"


def test_a_lease_taken_by_another_is_lost(target: RedisTarget, redis: Server) -> None:
    lease = Lease(target, "proj", "online", ttl=0.3)
    lease.acquire()
    redis.client().hset("tidemark:lease:proj:online", "token", "someone else")
    wait_for(lambda: lease.lost, 1.0)
    lease.release()


def test_a_redis_away_for_longer_than_the_term(tmp_path: Path) -> None:
    with server(tmp_path, "appendonly yes", "appendfsync always") as failing:
        lease = Lease(RedisTarget(failing.connection), "proj", "online", ttl=2.0)
        lease.acquire()
        failing.kill()
        failing.start()
        time.sleep(1.0)
        assert not lease.lost, "back within the term"
        failing.kill()
        wait_for(lambda: lease.lost)
        failing.start()
        lease.release()


def test_a_lease_in_a_cluster(nodes: Cluster) -> None:
    target = RedisTarget(nodes.connection, cluster=True)
    with Lease(target, "proj", "online", ttl=0.3) as lease:
        time.sleep(0.5)
        lease.check()
        with pytest.raises(FencedError):
            Lease(target, "proj", "online").acquire()


def test_owners() -> None:
    me = Owner.this()
    assert not me.is_dead(host_name())
    assert Owner(me.host, me.pid, me.started - 100).is_dead(host_name()), (
        "its number was given to another process"
    )
    assert not Owner("elsewhere", 2**22 + 1, 0.0).is_dead(host_name()), "what happens elsewhere is not known"
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: Owner(me.host, zombie.pid, time.time()).is_dead(host_name()))
    zombie.wait()
