"""Small reads on the event loop: what a thread reads, many at a time, and nothing that a loop would wait for."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from fastapi.testclient import TestClient
from redis_server import Server, server
from shop import Payment

from serving.api.line import Line
from serving.api.read import FEW
from serving.api.reading import Answer
from serving.moment import AsOfError
from streaming.errors import DefinitionError
from streaming.redis.target import RedisTarget

REFS = ["activity:count_1h", "activity:mean_7d", "visits:count_1d", "places:last_city"]
USERS = [f"L{i}" for i in range(FEW)]


@pytest.fixture
def own(tmp_path) -> Iterator[Server]:
    with server(tmp_path / "own") as running:
        yield running


async def connected(line: Line) -> Line:
    for _ in range(1_000):
        if await line.replies([("PING",)]):
            return line
        await asyncio.sleep(0.02)
    raise AssertionError("no connection")


def soon(api: TestClient, *asked: object) -> Answer:
    """What the loop reads, once it is connected and knows the question."""
    reader = api.app.state.reader
    for _ in range(1_000):
        reader.read(*asked)
        if found := api.portal.call(reader.read_few, *asked):
            return found
        time.sleep(0.02)
    raise AssertionError("not read on the loop")


@pytest.mark.parametrize("size", [1, 5, FEW])
def test_the_loop_reads_what_a_thread_reads(client, api_shop, size, monkeypatch):
    rng = random.Random(size)
    payments = [
        Payment(rng.choice(USERS), rng.randrange(3), 9_000_000 + i, rng.choice((None, 2.5)), 1, "Porto")
        for i in range(90)
    ]
    for view in ("activity", "places", "visits"):
        api_shop.write(view, payments)
    api = client()
    asked = REFS, {"user_id": USERS[:size], "merchant_id": [i % 4 for i in range(size)]}
    found = soon(api, *asked)
    assert found == api.app.state.reader.read(*asked)
    assert any(value is not None for column in found.features.values() for value in column)
    monkeypatch.setattr(api.app.state.reader.online.catalog, "stale", lambda *_: False)
    with pytest.raises(AsOfError):
        api.portal.call(api.app.state.reader.read_few, *asked, None, 1)
    with pytest.raises(DefinitionError, match="user_id"):
        api.portal.call(api.app.state.reader.read_few, REFS, {"merchant_id": [1]})


def test_what_waits_or_runs_a_persons_code_is_left_to_a_thread(client):
    api = client()
    reader, ask = api.app.state.reader, api.portal.call
    one = {"user_id": ["L1"]}
    assert ask(reader.read_few, ["activity:mean_7d"], one) is None, "a question nobody looked up"
    soon(api, ["activity:mean_7d"], one)
    assert ask(reader.read_few, ["activity:mean_7d"], {"user_id": ["L1"] * (FEW + 1)}) is None
    for service, request in (("everything", {}), ("scoring", {"amount": [2.0]})):
        reader.read(service, one, request)
        assert reader.questions.known(service)
        assert ask(reader.read_few, service, one, request) is None
    with reader.questions._lock:
        assert ask(reader.read_few, ["activity:mean_7d"], one) is None, "another looks a question up"


def test_many_at_a_time_each_get_their_own(own):
    with own.client() as redis:
        redis.hset("k", mapping={f"f{i}": f"v{i}" for i in range(500)})

    async def run() -> None:
        line = await connected(Line(RedisTarget(own.connection)))
        asked = [
            [("HMGET", "k", f"f{i}"), ("HMGET", "k", f"f{i + 1}", "none")][: 1 + i % 2] for i in range(499)
        ]
        given_up = asyncio.create_task(line.replies([("HMGET", "k", "f0")]))
        found = asyncio.gather(*map(line.replies, asked))
        await asyncio.sleep(0)
        given_up.cancel()
        for i, replies in enumerate(await found):
            assert replies == [[b"v%d" % i], [b"v%d" % (i + 1), None]][: 1 + i % 2]
        line.close()

    asyncio.run(run())


def test_more_than_the_socket_takes(own):
    async def run() -> None:
        line = await connected(Line(RedisTarget(own.connection)))
        big = b"x" * (8 << 20)
        first, second = await asyncio.gather(line.replies([("ECHO", big)]), line.replies([("ECHO", b"y")]))
        assert (first, second) == ([big], [b"y"])
        line.close()

    asyncio.run(run())


def test_an_error_of_redis_is_nobodys_answer(own):
    with own.client() as redis:
        redis.set("text", "1")

    async def run() -> None:
        line = await connected(Line(RedisTarget(own.connection)))
        asked: Sequence[Sequence[tuple[str, ...]]] = [[("PING",)], [("HMGET", "text", "f")], [("PING",)]]
        assert await asyncio.gather(*map(line.replies, asked)) == [[b"PONG"], None, [b"PONG"]]
        line.close()

    asyncio.run(run())


@pytest.mark.parametrize("harm", ["killed", "silent"])
def test_a_lost_redis_keeps_nobody_waiting_and_is_connected_again(own, harm):
    async def run() -> None:
        line = await connected(Line(RedisTarget(own.connection, timeout=0.3)))
        assert own.process
        own.process.send_signal(signal.SIGSTOP)
        waiting = asyncio.gather(*(line.replies([("PING",)]) for _ in range(3)))
        await asyncio.sleep(0.05)
        if harm == "killed":
            own.kill()
        assert await asyncio.wait_for(waiting, 5) == [None] * 3
        assert await line.replies([("PING",)]) is None
        if harm == "killed":
            own.start()
        else:
            own.process.send_signal(signal.SIGCONT)
        line.close()
        await connected(line)
        line.close()

    asyncio.run(run())


def test_a_cluster_has_no_line():
    async def run() -> None:
        line = Line(RedisTarget("127.0.0.1:1", cluster=True))
        assert await line.replies([("PING",)]) is None
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_requests_use_no_thread_and_answer_while_redis_is_silent(
    client: Callable[..., TestClient], api_redis: Server, monkeypatch: pytest.MonkeyPatch
):
    api = client()
    body = {"features": ["activity:count_1h"], "entities": {"user_id": ["L1"]}}
    soon(api, body["features"], body["entities"])
    reads, reader = [], api.app.state.reader
    threaded = reader.read
    monkeypatch.setattr(reader, "read", lambda *asked: reads.append(asked) or threaded(*asked))
    monkeypatch.setattr(reader.online.catalog, "stale", lambda *_: False)
    for _ in range(3):
        assert api.post("/v1/features", json=body).status_code == 200
    assert not reads
    assert api_redis.process
    api_redis.process.send_signal(signal.SIGSTOP)
    try:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(api.post("/v1/features", json=body)))
        asking.start()
        time.sleep(0.2)
        began = time.monotonic()
        assert api.get("/health/live").status_code == 200
        assert time.monotonic() - began < 4
    finally:
        api_redis.process.send_signal(signal.SIGCONT)
    asking.join(30)
    assert answers[0].status_code == 200
