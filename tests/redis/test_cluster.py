"""Bulk commands against a real Redis Cluster, also while a slot changes its node."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_server import Cluster, cluster

from streaming.redis.bulk import Bulk, RedisAway, RedisTarget
from streaming.redis.cluster import key_slot, key_slots
from streaming.redis.resp import Fields
from streaming.redis.wire import (
    EntityKeys,
    FeatureRow,
    encode_timestamps,
    encode_values,
    feature_field,
    timestamp_field,
)

HEADER, HEAD = b"_ring:v", b"_ring:v:head"


@pytest.fixture
def bulk(nodes: Cluster) -> Iterator[Bulk]:
    for node in nodes.nodes:
        node.client().flushall()
    with Bulk(RedisTarget(nodes.nodes[0].connection, cluster=True)) as connected:
        yield connected


@settings(max_examples=100)
@given(key=st.binary(max_size=30) | st.text("a{}", max_size=8).map(str.encode))
def test_slots_are_the_servers(nodes: Cluster, key: bytes) -> None:
    expected = nodes.nodes[0].client().execute_command("CLUSTER KEYSLOT", key)
    assert [key_slot(key)] == key_slots([key]) == [expected]


def test_every_node_gets_its_share(bulk: Bulk, nodes: Cluster) -> None:
    keys = [b"k%d" % i for i in range(3000)]
    assert bulk.fenced_hset(keys, HEADER, [None] * 3000, Fields({HEADER: [b"1"] * 3000, HEAD: keys})).all()
    assert bulk.hmget(keys, [HEADER, HEAD]) == [[b"1", key] for key in keys]
    assert all(node.client().dbsize() > 900 for node in nodes.nodes)
    assert [bulk.command("HGET", key, HEAD) for key in keys[:5]] == keys[:5]
    assert {address.port for address in bulk.masters} == {node.port for node in nodes.nodes}


def test_a_slot_that_has_moved_is_found(bulk: Bulk, nodes: Cluster) -> None:
    keys = [b"k%d" % i for i in range(200)]
    bulk.hset(keys, Fields({HEADER: [b"1"] * 200}))
    slot = key_slot(keys[7])
    old = nodes.owner(slot)
    nodes.move(slot, (old + 1) % 3)
    assert bulk.fenced_hset(keys, HEADER, [b"1"] * 200, Fields({HEADER: [b"2"] * 200})).all()
    assert bulk.hmget(keys, [HEADER]) == [[b"2"]] * 200
    assert bulk.topology is not None
    assert bulk.topology.owners[slot] == ("127.0.0.1", nodes.nodes[(old + 1) % 3].port)
    nodes.move(slot, old)


def test_a_slot_on_its_way_answers_from_both_ends(bulk: Bulk, nodes: Cluster) -> None:
    """While a slot migrates, keys that have left it or are new live at the target: ASK."""
    keys = [b"%d{tag}" % i for i in range(50)]
    slot = key_slot(keys[0])
    source = nodes.owner(slot)
    target = (source + 1) % 3
    bulk.hset(keys[:40], Fields({HEADER: [b"1"] * 40}))
    nodes.start_move(slot, target)
    nodes.nodes[source].client().execute_command(
        "MIGRATE", "127.0.0.1", nodes.nodes[target].port, "", 0, 5000, "KEYS", *keys[:20]
    )
    expected = [b"1"] * 40 + [None] * 10
    assert bulk.hmget(keys, [HEADER]) == [[value] for value in expected]
    assert bulk.fenced_hset(keys, HEADER, expected, Fields({HEADER: [b"2"] * 50})).all()
    assert not bulk.fenced_hset(keys, HEADER, expected, Fields({HEADER: [b"3"] * 50})).any()
    nodes.finish_move(slot, target)
    assert bulk.hmget(keys, [HEADER]) == [[b"2"]] * 50
    nodes.move(slot, source)


def test_slots_that_move_while_rings_are_written(bulk: Bulk, nodes: Cluster) -> None:
    """A counter behind the fence, on keys whose slots wander, counts every round exactly once."""
    keys = [b"c%d" % i for i in range(300)]
    slots = sorted(set(key_slots(keys)))[:6]
    homes = [nodes.owner(slot) for slot in slots]
    stop = threading.Event()
    moved: list[int] = []
    failures: list[Exception] = []

    def wander() -> None:
        try:
            while not stop.is_set():
                slot = slots[len(moved) % len(slots)]
                nodes.move(slot, (nodes.owner(slot) + 1) % 3)
                moved.append(slot)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=wander)
    thread.start()
    held: list[bytes | None] = [None] * len(keys)
    rounds = 0
    while (rounds < 40 or len(moved) < 12) and not failures:
        new = [b"%d" % (rounds + 1)] * len(keys)
        passed = bulk.fenced_hset(keys, HEADER, held, Fields({HEADER: new}))
        assert np.flatnonzero(~passed).tolist() == []
        assert [row[0] for row in bulk.hmget(keys, [HEADER])] == new
        held, rounds = list(new), rounds + 1
    stop.set()
    thread.join()
    assert not failures
    assert rounds >= 40
    for slot, home in zip(slots, homes, strict=True):
        nodes.move(slot, home)


def test_a_node_that_dies_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with cluster(tmp_path_factory.mktemp("dying")) as formed:
        bulk = Bulk(RedisTarget(formed.connection, cluster=True))
        keys = [b"k%d" % i for i in range(300)]
        bulk.hset(keys, Fields({HEADER: [b"1"] * 300}))
        formed.nodes[2].kill()
        with pytest.raises(RedisAway, match=f"127.0.0.1:{formed.nodes[2].port} is away"):
            bulk.hmget(keys, [HEADER])


def test_features_in_feasts_layout_reach_every_node(bulk: Bulk, nodes: Cluster) -> None:
    row = FeatureRow("v", (("amount", "DOUBLE"), ("count", "INT64"), ("city", "STRING")))
    users = np.arange(500)
    values = {
        "amount": users / 7,
        "count": users * 100,
        "city": np.array([f"c{i}" for i in users], dtype=object),
    }
    valid = dict.fromkeys(values, users % 3 > 0)
    keys = EntityKeys("proj", (("user_id", "INT64"),)).encode(users.tolist())
    bulk.hset(keys, row.fields(values, valid, users + 1))
    wanted = [feature_field("v", name) for name in values] + [timestamp_field("v")]
    columns = [encode_values(dtype, values[name], valid[name]) for name, dtype in row.features]
    expected = list(map(list, zip(*columns, encode_timestamps(users + 1), strict=True)))
    assert bulk.hmget(keys, wanted) == expected
    assert all(node.client().dbsize() > 100 for node in nodes.nodes)
