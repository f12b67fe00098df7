"""The short form of the fault matrix: Redis behind a proxy that breaks, one Spark, no process that takes long to start."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from fault_cases import LIVE, cut, redis_killed, resets
from fault_checks import accounted, equal, parity
from fault_proxy import Proxy
from fault_stage import Stage, stopped
from fault_table import BEGIN, END, Result, Results
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_server import Server, server

from streaming.errors import TidemarkError


@pytest.fixture
def stage(tmp_path: Path, seed: int, kafka: str, topic: Callable[..., str]) -> Iterator[Stage]:
    with Stage.build(tmp_path / "stage", seed, kafka, topic) as built:
        yield built


def redis_stopped_for_a_moment(stage: Stage) -> None:
    assert stage.redis.process
    with stopped(stage.redis.process.pid):
        time.sleep(1.5)


def test_redis_breaks_in_every_way_while_batches_run(stage: Stage, spark) -> None:
    """Reset, cut in the middle of a reply, silent, and killed: one lane, which nobody restarts."""
    with stage.thread(spark), stage.watched(spark) as watched:
        stage.send(50)
        stage.until(lambda: stage.lines)
        for act in (cut, resets, redis_stopped_for_a_moment, redis_killed):
            with stage.flow(count=150, slices=3, pause=0.2):
                act(stage)
        stage.send(20)
        stage.caught_up()
        # A batch is reported a moment after it is committed.
        stage.until(
            lambda: sum(line["read"] for line in stage.lines if not line["repair"]) == len(stage.world.sent)
        )
    assert not watched.stop()
    assert watched.polls
    assert stage.proxy.cuts == 1
    assert not accounted(stage.world, stage.lines)
    assert not equal(stage.world, stage.plan(spark))
    assert not parity(stage.world, stage.plan(spark))


def test_a_ring_of_a_newer_version_is_refused_and_left_alone(stage: Stage, spark) -> None:
    stage.send(40, hostile=False)
    stage.world.run(spark, views=["shop_orders"])
    client = stage.redis.client()
    key = next(
        k for k in client.scan_iter() if client.type(k) == b"hash" and client.hexists(k, "_ring:shop_orders")
    )
    header = client.hget(key, "_ring:shop_orders")
    newer = bytes([header[0] + 1]) + header[1:]
    client.hset(key, "_ring:shop_orders", newer)
    stage.send(200, hostile=False)
    with pytest.raises(
        TidemarkError, match=r"header is of an unknown version.*`tidemark stream reset --views shop_"
    ):
        stage.world.run(spark, views=["shop_orders"])
    assert client.hget(key, "_ring:shop_orders") == newer


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Server, Proxy]]:
    with server(tmp_path / "redis") as running:
        proxy = Proxy(running.port)
        yield running, proxy
        proxy.close()


def test_the_proxy_breaks_what_it_is_told_to(proxied: tuple[Server, Proxy]) -> None:
    _, proxy = proxied
    client = redis.Redis(port=proxy.port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))
    client.set("k", b"v" * 1000)
    assert client.get("k") == b"v" * 1000
    proxy.cut_after = 100
    with pytest.raises(redis.ConnectionError):
        client.get("k")
    assert proxy.cuts == 1
    assert client.get("k")
    assert proxy.reset()
    assert client.get("k"), "a connection that is idle is made anew"
    proxy.silent = True
    with pytest.raises(redis.TimeoutError):
        client.get("k")
    proxy.silent = False
    assert client.get("k")


def test_the_table_keeps_what_is_around_it_and_shows_failures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    results = Results(7)
    results.record(Result("F10", "a", "b", "c", "I1"), lambda r: r.recovered.extend([3.0, 1.0, 2.0]))

    def fails(result: Result) -> None:
        raise AssertionError("I4: one | two")

    with pytest.raises(AssertionError):
        results.record(Result("F9", "d", "e", "f", "I4"), fails)
    results.write(page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "seed 7" in text
    assert "1 of 2 rows pass; not: F9" in text
    assert "**FAIL**: AssertionError in fails: I4: one / two" in text
    assert "| pass | 2.0 / 3.0 |" in text
    assert text.index("| F9 |") < text.index("| F10 |")


def test_every_row_has_a_name_of_its_own() -> None:
    rows = [case.row for case in LIVE]
    assert len(set(rows)) == len(rows)
