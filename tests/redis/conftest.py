"""One Redis Cluster for every test that needs one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis_server import Cluster, cluster


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three masters; a test that empties them or moves slots puts the slots back."""
    with cluster(tmp_path_factory.mktemp("cluster")) as formed:
        yield formed
