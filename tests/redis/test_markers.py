"""Real Redis servers that restart, restore, fail over and reshard between two batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_server import Cluster, Server, cluster, server, wait_for

from streaming.errors import LostWritesError, ServiceError
from streaming.redis.bulk import Bulk, RedisAway, RedisTarget
from streaming.redis.cluster import key_slot
from streaming.redis.markers import Markers, Outcome
from streaming.redis.shards import (
    WHOLE,
    contains,
    overlap,
    refuse_eviction,
    shards,
    slot_tags,
    union,
    without,
)


def digest(batch: int) -> str:
    return f"offsets of {batch}"


def markers(bulk: Bulk, identity: int = 7) -> Markers:
    return Markers(bulk, "proj", "online", identity)


def run(lane: Markers, batches: range) -> None:
    for batch in batches:
        assert lane.check(batch, digest).whole
        lane.write(batch, digest(batch))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("markers")) as started:
        yield started


@pytest.fixture
def bulk(running: Server) -> Iterator[Bulk]:
    running.client().flushall()
    with Bulk(RedisTarget(running.connection)) as connected:
        yield connected


def test_the_batch_before_this_one_and_everything_else(bulk: Bulk) -> None:
    lane = markers(bulk)
    assert lane.check(0, digest) == Outcome("ok")
    assert lane.check(5, digest).kind == "foreign", "an empty Redis under an old checkpoint"
    lane.check(0, digest)
    run(lane, range(5))
    assert markers(bulk).check(5, digest) == Outcome("ok")
    assert markers(bulk).check(4, digest) == Outcome("replay")
    gap = markers(bulk).check(9, digest)
    assert (gap.kind, gap.since, gap.slots) == ("gap", 4, WHOLE)
    assert markers(bulk).check(3, digest).kind == "foreign", "ahead of the checkpoint"
    assert markers(bulk).check(5, lambda batch: "other").kind == "foreign"
    assert markers(bulk).check(5, lambda batch: None).kind == "foreign", "a batch the ledger does not know"
    assert markers(bulk, identity=8).check(0, digest).kind == "foreign", "another checkpoint's rings"
    assert Markers(bulk, "proj", "other lane", 7).check(0, digest) == Outcome("ok")


def test_what_is_not_whole_is_refused_with_the_remedy(bulk: Bulk) -> None:
    lane = markers(bulk)
    run(lane, range(2))
    error = lane.check(9, digest).error()
    assert isinstance(error, LostWritesError)
    assert str(error).endswith(
        "lost the writes after batch 1 in slots 0-16383: stop the lane and run tidemark rebuild"
    )


def test_a_reset_forgets_the_markers(bulk: Bulk) -> None:
    run(markers(bulk), range(2))
    markers(bulk).forget()
    assert markers(bulk, identity=8).check(0, digest) == Outcome("ok")


def test_a_restart_from_an_older_snapshot_is_a_gap(tmp_path: Path) -> None:
    with server(tmp_path) as failing:
        target = RedisTarget(failing.connection)
        lane = markers(Bulk(target))
        run(lane, range(4))
        failing.client().save()
        run(lane, range(4, 7))
        failing.kill()
        failing.start()
        with pytest.raises(RedisAway):
            lane.check(7, digest)
        outcome = markers(Bulk(target)).check(7, digest)
        assert (outcome.kind, outcome.since, outcome.slots) == ("gap", 3, WHOLE)


def test_a_restart_that_lost_nothing_is_none(tmp_path: Path) -> None:
    with server(tmp_path, "appendonly yes", "appendfsync always") as failing:
        target = RedisTarget(failing.connection)
        run(markers(Bulk(target)), range(4))
        failing.kill()
        failing.start()
        assert markers(Bulk(target)).check(4, digest) == Outcome("ok")


def test_a_server_that_changes_during_a_batch_fails_it(bulk: Bulk, running: Server) -> None:
    lane = markers(bulk)
    run(lane, range(2))
    lane.check(2, digest)
    running.client().execute_command("DEBUG CHANGE-REPL-ID")
    with pytest.raises(RedisAway, match="during batch 2: run the batch again"):
        lane.write(2, digest(2))
    assert lane.check(2, digest) == Outcome("ok"), "nothing was marked"


@pytest.mark.parametrize("lagging", [False, True])
def test_a_promoted_replica(tmp_path: Path, lagging: bool) -> None:
    with server(tmp_path / "master") as master, server(tmp_path / "replica") as replica:
        replica.client().replicaof("127.0.0.1", master.port)
        wait_for(lambda: replica.client().info("replication").get("master_link_status") == "up")
        lane = markers(Bulk(RedisTarget(master.connection)))
        run(lane, range(3))
        assert master.client().wait(1, 10_000) == 1
        with pytest.raises(ServiceError, match="is a replica: name its master"):
            shards(Bulk(RedisTarget(replica.connection)))
        if lagging:
            replica.client().replicaof("no", "one")
        run(lane, range(3, 5))
        if not lagging:
            assert master.client().wait(1, 10_000) == 1
            replica.client().replicaof("no", "one")
        outcome = markers(Bulk(RedisTarget(replica.connection))).check(5, digest)
        assert (outcome.kind, outcome.since) == (("gap", 2) if lagging else ("ok", None))


def test_eviction_is_refused(bulk: Bulk, running: Server) -> None:
    refuse_eviction(bulk)
    running.client().config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServiceError, match=r"is allkeys-lru\): set maxmemory-policy noeviction there"):
            refuse_eviction(bulk)
    finally:
        running.client().config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def clustered(nodes: Cluster) -> Iterator[Bulk]:
    for node in nodes.nodes:
        node.client().flushall()
    with Bulk(RedisTarget(nodes.connection, cluster=True)) as connected:
        yield connected


def test_every_shard_has_its_marker(clustered: Bulk, nodes: Cluster) -> None:
    lane = markers(clustered)
    run(lane, range(3))
    assert [node.client().dbsize() for node in nodes.nodes] == [1, 1, 1]
    assert markers(clustered).check(3, digest) == Outcome("ok")
    run(lane, range(3, 4))
    lost = next(s for s in shards(clustered) if s.address.port == nodes.nodes[1].port)
    nodes.nodes[1].client().flushall()
    gap = markers(clustered).check(4, digest)
    assert (gap.kind, gap.since, gap.slots) == ("gap", None, lost.slots)


def test_some_shards_already_hold_this_batch(clustered: Bulk) -> None:
    """The driver died between two markers: the batch is a replay."""
    lane = markers(clustered)
    run(lane, range(3))
    shard = shards(clustered)[2]
    marker = replace(lane._stored[lane.key(shard)], batch=3, digest=digest(3))
    lane.check(3, digest)
    clustered.on(shard.address, ("SET", lane.key(shard), marker.dump()))
    assert markers(clustered).check(3, digest) == Outcome("replay")


@pytest.mark.parametrize("which", ["first", "marked"])
def test_a_slot_that_moved_has_no_marker_until_it_is_rebuilt(
    clustered: Bulk, nodes: Cluster, which: str
) -> None:
    lane = markers(clustered)
    run(lane, range(3))
    shard = next(s for s in shards(clustered) if s.address.port == nodes.nodes[0].port)
    slot = shard.slots[0][0] if which == "first" else key_slot(lane.key(shard))
    nodes.move(slot, 1)
    gap = lane.check(3, digest)
    assert (gap.kind, gap.since, gap.slots) == ("gap", None, ((slot, slot),))
    lane.write(2, digest(2))
    assert markers(clustered).check(3, digest) == Outcome("ok")
    assert sum(node.client().dbsize() for node in nodes.nodes) == 3, "markers of the old layout are gone"
    nodes.move(slot, 0)


def test_a_slot_that_moves_during_a_batch_fails_it(clustered: Bulk, nodes: Cluster) -> None:
    lane = markers(clustered)
    run(lane, range(3))
    lane.check(3, digest)
    slot = shards(clustered)[0].slots[0][0]
    source = nodes.owner(slot)
    nodes.move(slot, (source + 1) % 3)
    with pytest.raises(RedisAway, match="moved slots during batch 3"):
        lane.write(3, digest(3))
    nodes.move(slot, source)


def test_a_promoted_replica_keeps_its_shard(tmp_path: Path) -> None:
    with cluster(tmp_path / "masters") as formed:
        extra = Server(tmp_path / "replica", ["cluster-enabled yes", "cluster-node-timeout 2000"])
        try:
            client = extra.start().client()
            formed.join(extra, replica_of=1)
            with Bulk(RedisTarget(formed.connection, cluster=True)) as bulk:
                run(markers(bulk), range(3))
                assert formed.nodes[1].client().wait(1, 10_000) == 1
                client.execute_command("CLUSTER FAILOVER")
                wait_for(lambda: client.info("replication")["role"] == "master" and formed.serves(extra))
                outcome = markers(bulk).check(3, digest)
                assert outcome == Outcome("ok")
        finally:
            extra.kill()


def test_every_slot_has_a_tag() -> None:
    assert all(key_slot(b"x{%s}y" % tag.encode()) == slot for slot, tag in enumerate(slot_tags()))


slots = st.sets(st.integers(0, 40))


@given(slots, slots)
def test_ranges_are_sets(some: set[int], others: set[int]) -> None:
    a, b = (tuple((slot, slot) for slot in sorted(chosen)) for chosen in (some, others))

    def members(ranges: tuple[tuple[int, int], ...]) -> set[int]:
        return {slot for slot in range(50) if contains(ranges, slot)}

    assert members(union(a, b)) == some | others
    assert members(overlap(a, b)) == some & others
    assert members(without(a, b)) == some - others


def test_the_helper_reports_a_server_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="did not start"), server(tmp_path, "no-such-directive yes"):
        pass
