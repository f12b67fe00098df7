"""The shipped repo, applied to a Redis of its own, and its plan."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feast_repos import ROOT, applied
from redis_server import Server, server

sys.path.append(str(Path(__file__).parent.parent / "lane"))


@pytest.fixture(scope="session")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def scored_repo(own_redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored") / "feature_repo"
    return applied(ROOT / "feature_repo", folder, own_redis.connection)


@pytest.fixture(scope="session")
def shipped_plan(scored_repo: Path, spark: Any) -> Any:
    from streaming import definitions

    return definitions.load(scored_repo, None, spark)
