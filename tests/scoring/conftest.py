"""The shipped repo, applied to a Redis of its own, and its plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from feast_repos import ROOT, applied
from redis_server import Server, server

sys.path.append(str(Path(__file__).parent.parent / "lane"))


@pytest.fixture(scope="session")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("redis"), "appendonly yes", "appendfsync always") as running:
        yield running


@pytest.fixture(scope="session")
def scored_repo(own_redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored") / "feature_repo"
    return applied(ROOT / "feature_repo", folder, own_redis.connection)


@pytest.fixture(scope="session")
def shipped_plan(scored_repo: Path, spark: Any) -> Any:
    from streaming import definitions

    return definitions.load(scored_repo, None, spark)


@pytest.fixture
def world(
    scored_repo: Path,
    kafka: str,
    shipped_plan: Any,
    tmp_path: Path,
    spark: Any,
    topic: Callable[..., str],
    own_redis: Any,
) -> Any:
    from score_lane import ScoreWorld

    with own_redis.client() as client:
        client.flushdb()
    return ScoreWorld.make(scored_repo, kafka, shipped_plan, tmp_path, spark, topic)


@pytest.fixture
def world_of_two(
    scored_repo: Path,
    kafka: str,
    shipped_plan: Any,
    tmp_path: Path,
    spark: Any,
    topic: Callable[..., str],
    world: Any,
) -> Any:
    """Like `world`, with two partitions a topic."""
    return type(world).make(scored_repo, kafka, shipped_plan, tmp_path, spark, topic, partitions=2)
