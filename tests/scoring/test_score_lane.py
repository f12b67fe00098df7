"""The scoring lane beside a real broker, Redis and online lane."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from score_lane import ScoreWorld, total


@pytest.fixture
def world(
    scored_repo: Path,
    kafka: str,
    shipped_plan: Any,
    tmp_path: Path,
    spark: Any,
    topic: Callable[..., str],
    own_redis: Any,
) -> ScoreWorld:
    with own_redis.client() as client:
        client.flushdb()
    return ScoreWorld.make(scored_repo, kafka, shipped_plan, tmp_path, spark, topic)


def test_every_event_is_scored_once(world: ScoreWorld) -> None:
    now = int(time.time() * 1000)
    first = world.events("transactions", 200, now - 60_000)
    world.send("transactions", first[:100])
    world.online()
    world.send("transactions", [*first[100:], first[150], b"{"])
    lines = world.score("earliest")
    assert total(lines, "scored") == 200
    assert total(lines, "duplicates") == 1
    found = world.scores()
    assert len({score["score_id"] for score in found}) == len(found) == 200
    assert len(world.logged()) == sum(not score["inexact"] for score in found)
