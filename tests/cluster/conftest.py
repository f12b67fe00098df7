"""The shop of tests/lane on clusters of one machine."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from lane_world import World


@pytest.fixture
def world(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str]) -> World:
    return World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
