"""The shipped repo, applied to a Redis of its own where tests write rings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from feast_repos import ROOT, applied
from redis_server import server

sys.path.append(str(Path(__file__).parent.parent / "serving"))

from score_world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("scores")
    with server(folder / "redis") as running:
        repo = applied(ROOT / "feature_repo", folder / "feature_repo", running.connection)
        yield World(repo, running.connection)
