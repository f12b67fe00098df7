"""The shop of tests/lane and its history, to be broken; results go to a table when --table names a page."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "history_lane"))
sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from fault_table import Results
from history_world import History
from lane_world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the fault matrix")
    group.addoption("--seed", type=int, default=1, help="seed of events and of the moments of faults")
    group.addoption(
        "--rounds", type=int, default=3, help="how often a fault is repeated that recovers by itself"
    )
    group.addoption("--table", type=Path, help="write the results into this page")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    number = request.config.getoption("--seed", 1)
    print(f"seed {number}")
    return number


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, seed: int) -> Results:
    return Results(seed, request.config.getoption("--table", None))


@pytest.fixture
def history(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str], spark) -> History:
    """A shop with both lanes; Delta is told that its tables are small."""
    spark.conf.set("spark.databricks.delta.snapshotPartitions", "1")
    world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
    views = ("pair_orders", "shop_orders")
    return History(world, spark, tmp_path / "history", tmp_path / "history-checkpoint", views=views)
