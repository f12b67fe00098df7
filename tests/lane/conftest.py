"""What every test of the lane needs: an applied repo with topics of its own on the session's broker and Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from lane_world import World


@pytest.fixture
def world(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str]) -> World:
    return World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
