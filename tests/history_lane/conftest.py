"""The shop of tests/lane, with a history."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from history_world import History
from lane_world import World


@pytest.fixture
def history(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str], spark) -> History:
    world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
    return History(world, spark, tmp_path / "history", tmp_path / "history-checkpoint")
