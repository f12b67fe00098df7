"""An applied shop on a Redis of its own, and the API over it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis_server import Server, server

sys.path.append(str(Path(__file__).parent.parent / "serving"))

from shop import Shop

from serving.api.app import create
from serving.api.settings import ApiSettings


@pytest.fixture(scope="session")
def api_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def api_shop(api_redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("api") / "api_shop", api_redis.connection)


@pytest.fixture
def client(api_shop: Shop) -> Iterator[Callable[..., TestClient]]:
    """client(**settings) is a running API; without settings it asks nobody who they are and follows nothing."""
    with ExitStack() as stack:

        def start(**settings: Any) -> TestClient:
            given = {"api_auth": False, "api_follow": 0, "api_audit": "", **settings}
            app = create(api_shop.directory, ApiSettings(**given))
            app.state.reader.online.clock = api_shop.online.clock
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start
