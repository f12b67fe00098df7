"""The shop of tests/lane, with a history."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

# For the stand-in of S3. Spark's workers have the environment that Spark was started with, long before a test.
os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none", AWS_DEFAULT_REGION="eu-west-1")
sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from history_world import History
from lane_world import World


@pytest.fixture
def history(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str], spark) -> History:
    world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
    return History(world, spark, tmp_path / "history", tmp_path / "history-checkpoint")


@pytest.fixture(autouse=True)
def small_tables(spark) -> None:
    """Delta looks at a table's log in 50 tasks unless it is told that tables are small."""
    spark.conf.set("spark.databricks.delta.snapshotPartitions", "1")
