"""One Redis and one applied repo for the readers' tests; each test writes entities of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis_server import Server, server
from shop import NOW, Shop


@pytest.fixture(scope="session")
def redis_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def shop(redis_store: Server, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("repos") / "shop", redis_store.connection)


@pytest.fixture(scope="session")
def latest_shop(redis_store: Server, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    directory = tmp_path_factory.mktemp("repos") / "latest"
    return Shop(directory, redis_store.connection, leading_edge="latest_event")


@pytest.fixture
def own_shop(redis_store: Server, tmp_path: Path) -> Shop:
    """A project of the test's own, where it may spoil what the engine noted."""
    return Shop(tmp_path / "own", f"{redis_store.connection},db=1")


@pytest.fixture(autouse=True)
def _empty_own(redis_store: Server) -> Iterator[None]:
    yield
    with redis_store.client(db=1) as client:
        client.flushdb()


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock_of() -> Iterator[Callable[[Shop], Clock]]:
    """Gives a shop a clock that the test sets."""
    held: list[tuple[Shop, object]] = []

    def give(shop: Shop) -> Clock:
        held.append((shop, shop.online.clock))
        shop.online.clock = clock = Clock()
        return clock

    yield give
    for shop, before in held:
        shop.online.clock = before


@pytest.fixture
def clock(shop: Shop, clock_of: Callable[[Shop], Clock]) -> Clock:
    return clock_of(shop)
