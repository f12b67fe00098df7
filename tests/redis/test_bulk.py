"""Bulk commands against a real Redis: what they return, and what they say when something is wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_server import Server, server

from streaming.errors import ServiceError
from streaming.redis.bulk import Bulk, RedisAway, RedisTarget
from streaming.redis.resp import Fields

HEADER, HEAD, TAIL = b"_ring:v", b"_ring:v:head", b"_ring:v:tail"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("bulk")) as started:
        yield started


@pytest.fixture
def redis(running: Server) -> Server:
    running.client().flushall()
    return running


@pytest.fixture
def bulk(redis: Server) -> Iterator[Bulk]:
    with Bulk(RedisTarget(redis.connection)) as connected:
        yield connected


def test_thousands_of_keys_come_back_in_order(bulk: Bulk) -> None:
    keys = [b"k%d\r\n\x00" % i for i in range(5000)]
    values = [b"%d" % i * (i % 50) for i in range(5000)]
    bulk.hset(keys, Fields({HEAD: values}))
    assert bulk.hmget(keys, [HEAD, TAIL]) == [[value, None] for value in values]
    assert bulk.hmget([], [HEAD]) == []


def test_a_none_leaves_the_field_of_that_key(bulk: Bulk) -> None:
    bulk.hset([b"a", b"b"], Fields({HEAD: [b"1", b"1"], TAIL: [b"1", b"1"]}))
    bulk.hset([b"a", b"b"], Fields({HEAD: [b"2", b"2"], TAIL: [None, b""]}))
    assert bulk.hmget([b"a", b"b"], [HEAD, TAIL]) == [[b"2", b"1"], [b"2", b""]]


def test_the_fence_lets_the_first_writer_alone_pass(bulk: Bulk) -> None:
    keys = [b"new", b"empty", b"old", b"changed"]
    bulk.hset(keys[1:], Fields({HEADER: [b"", b"h1", b"h2"], HEAD: [b"x"] * 3}))
    expected = [None, b"", b"h1", b"h1"]
    fields = Fields({HEADER: [b"n"] * 4, HEAD: [b"y"] * 4, TAIL: [None, b"t", None, b"t"]})
    assert bulk.fenced_hset(keys, HEADER, expected, fields).tolist() == [True, True, True, False]
    assert bulk.hmget(keys, [HEADER, HEAD, TAIL]) == [
        [b"n", b"y", None],
        [b"n", b"y", b"t"],
        [b"n", b"y", None],
        [b"h2", b"x", None],
    ]
    assert not bulk.fenced_hset(keys, HEADER, expected, fields).any()


def lives(bulk: Bulk, *keys: bytes) -> list[int]:
    """How long each key has to live, in tens of seconds; -1 is for good."""
    left = [bulk.command("PTTL", key) for key in keys]
    return [millis if millis < 0 else round(millis / 10_000) for millis in left]


def test_only_the_keys_written_expire(bulk: Bulk) -> None:
    bulk.hset([b"a", b"b"], Fields({HEADER: [b"1", b"1"]}))
    written = Fields({HEADER: [b"2"] * 3})
    passed = bulk.fenced_hset([b"a", b"b", b"c"], HEADER, [b"1", b"?", None], written, 50_000)
    assert passed.tolist() == [True, False, True]
    assert lives(bulk, b"a", b"b", b"c") == [5, -1, 5]


def test_a_later_write_lets_a_key_live_longer_never_shorter(bulk: Bulk) -> None:
    def write(expiry: int) -> int:
        assert bulk.fenced_hset([b"k"], HEADER, [None], Fields({HEAD: [b"v"]}), expiry).all()
        return lives(bulk, b"k")[0]

    assert [write(expiry) for expiry in (50_000, 90_000, 20_000, 0, 20_000)] == [5, 9, 9, -1, 2]


def test_what_would_expire_soon_is_kept(bulk: Bulk) -> None:
    for key, expiry in ((b"soon", 1_000), (b"late", 90_000), (b"never", 0)):
        bulk.fenced_hset([key], HEADER, [None], Fields({HEADER: [b"1"]}), expiry)
    bulk.keep([b"soon", b"late", b"never", b"absent"], 60_000)
    assert lives(bulk, b"soon", b"late", b"never") == [6, 9, -1]
    assert not bulk.command("EXISTS", b"absent")


def test_a_forgotten_script_is_loaded_again(bulk: Bulk, redis: Server) -> None:
    redis.client().script_flush()
    keys = [b"%d" % i for i in range(3000)]
    assert bulk.fenced_hset(keys, HEADER, [None] * 3000, Fields({HEADER: [b"1"] * 3000})).all()
    assert redis.client().dbsize() == 3000


def test_a_database_and_a_password_are_used(tmp_path: Path) -> None:
    with server(tmp_path, "requirepass 12345") as secured:
        with Bulk(RedisTarget(f"{secured.connection},db=3,password=12345")) as bulk:
            bulk.hset([b"k"], Fields({HEAD: [b"v"]}))
        assert secured.client(db=3).hget(b"k", HEAD) == b"v"
        with pytest.raises(ServiceError, match="correct username and password") as refused:
            Bulk(RedisTarget(f"{secured.connection},password=wrong"))
        assert "\n" not in str(refused.value)
        with pytest.raises(ServiceError, match="correct username and password"):
            Bulk(RedisTarget(secured.connection))


def test_what_is_in_flight_is_bounded(redis: Server) -> None:
    """A 64 MB answer never piles up in the server, although one call asks for all of it."""
    keys = [b"%d" % i for i in range(1000)]
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        client = redis.client()
        while not done.is_set():
            seen.append(max(int(row["omem"]) for row in client.client_list()))

    with Bulk(RedisTarget(redis.connection, window=1 << 20)) as bulk:
        bulk.hset(keys, Fields({HEAD: [b"x" * 65536] * 1000}))
        thread = threading.Thread(target=watch)
        thread.start()
        assert sum(len(row[0] or b"") for row in bulk.hmget(keys, [HEAD])) == 65_536_000
        done.set()
        thread.join()
    assert len(seen) > 3
    assert max(seen) < 16 << 20


def test_a_refused_command_names_the_remedy_and_spares_the_connection(bulk: Bulk, redis: Server) -> None:
    redis.client().set("text", "x")
    with pytest.raises(ServiceError, match=r"WRONGTYPE.*give Feast a database of its own"):
        bulk.hmget([b"a", b"text", b"b"], [HEAD])
    assert bulk.hmget([b"a"], [HEAD]) == [[None]]
    redis.client().config_set("maxmemory", 1)
    try:
        with pytest.raises(ServiceError, match=r"OOM.*raise maxmemory"):
            bulk.hset([b"a"], Fields({HEAD: [b"v"]}))
    finally:
        redis.client().config_set("maxmemory", 0)


def write_on(bulk: Bulk, keys: list[bytes]) -> None:
    for _ in range(1000):
        bulk.hset(keys, Fields({HEAD: [b"x" * 500] * len(keys)}))


def crash(redis: Server) -> None:
    redis.kill()


def stop(redis: Server) -> None:
    assert redis.process is not None
    os.kill(redis.process.pid, signal.SIGSTOP)


@pytest.mark.parametrize(
    ("break_it", "reason"), [(crash, "clos|reset|refused|pipe"), (stop, "no answer for 1 s")]
)
def test_a_redis_that_goes_away_in_the_middle(
    tmp_path: Path, break_it: Callable[[Server], None], reason: str
) -> None:
    with server(tmp_path) as failing:
        bulk = Bulk(RedisTarget(failing.connection, timeout=1.0))
        keys = [b"%d" % i for i in range(200_000)]
        timer = threading.Timer(0.15, break_it, [failing])
        timer.start()
        with pytest.raises(RedisAway, match=f"(?i)is away .*({reason}).*: start it") as lost:
            write_on(bulk, keys)
        timer.join()
        assert "\n" not in str(lost.value)
        started = time.monotonic()
        with pytest.raises(RedisAway, match="is away"):
            bulk.hmget([b"1"], [HEAD])
        assert time.monotonic() - started < 0.5, "a lost connection is not tried again"


def test_a_redis_that_is_not_there() -> None:
    with pytest.raises(RedisAway, match=r"127.0.0.1:1 is away \(.*refused.*\): start it"):
        Bulk(RedisTarget("127.0.0.1:1"))


@pytest.mark.parametrize("text", ["", "db=0", "redis", "redis:port"])
def test_a_connection_string_without_a_host(text: str) -> None:
    with pytest.raises(ServiceError, match="write it as"):
        RedisTarget(text)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in str(RedisTarget("h:1,password=secret"))


def test_a_cluster_client_needs_a_cluster(redis: Server) -> None:
    with pytest.raises(ServiceError, match=r"not a cluster.*redis_type: redis"):
        Bulk(RedisTarget(redis.connection, cluster=True))
    with pytest.raises(ServiceError, match="database 0 alone"):
        RedisTarget("h:1,db=2", cluster=True)
