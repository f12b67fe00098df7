"""An event's way: admitted, duplicate or quarantined; batch, features, score and alert."""

from __future__ import annotations

import io
import json
import random
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))
sys.path.insert(0, str(Path(__file__).parents[1] / "history_lane"))

from history_world import History
from lane_orders import Bad, Copy, Good, order
from lane_world import World, send

from streaming.checkpoint import Checkpoint
from tidemark.commands.trace import show
from tidemark.tracing import Place, Trace, plain


@pytest.fixture
def history(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str], spark) -> History:
    world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
    return History(
        world, spark, tmp_path / "history", tmp_path / "history-checkpoint", views=("user_orders",)
    )


def shown(copy) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    show(copy, console)
    return console.export_text()


def test_an_event_is_followed_from_its_offset_to_its_alert(
    history: History, spark, kafka: str, topic
) -> None:
    world, now = history.world, int(time.time() * 1000)
    rng = random.Random(1)
    values = [order(rng, n, now - 60_000 + n, user_id="user 1", amount=2.0) for n in range(3)]
    world.send(("orders", 0, json.dumps(v).encode(), Good(now, v)) for v in values)
    world.send(
        [("orders", 1, json.dumps(values[2]).encode(), Copy()), ("orders", 1, b"{order-9", Bad("not a json"))]
    )
    world.run(spark, views=["user_orders"])
    orders, scores, alerts = world.given["orders"], topic(1, "scores"), topic(1, "alerts")
    score = {
        "score_id": f"{orders}/0/2",
        "scored": "2026-03-01T12:00:00.005Z",
        "score": 0.91,
        "inexact": False,
    }
    alert = {"alert_id": f"{orders}/0/2", "alert_level": "critical"}
    send(
        kafka,
        [
            (scores, 0, b"no json"),
            (scores, 0, json.dumps(score).encode()),
            (alerts, 0, json.dumps(alert).encode()),
            (scores, 0, json.dumps({**score, "score_id": f"{orders}/0/1"}).encode()),
            (alerts, 0, json.dumps({**alert, "alert_id": f"{orders}/0/1"}).encode()),
        ],
    )
    trace = Trace(
        spark,
        world.plan(spark, ("user_orders",)),
        str(history.folder),
        Checkpoint(str(world.checkpoint)),
        Checkpoint(f"{history.checkpoint}/arrivals"),
        world.updates,
        world.dead,
        scores,
        alerts,
    )

    def check() -> None:
        first, second = trace.follow("order-2")
        assert (str(first.place), first.outcome, first.batch) == (f"{orders}/0/2", "admitted", 0)
        assert (str(second.place), second.outcome, second.features) == (f"{orders}/1/0", "duplicate", {})
        assert int(first.event_time.timestamp() * 1000) == now - 60_000 + 2
        assert first.features["user_orders"]["all_count_600_30"] == 3
        assert (first.score, first.alert) == (score, alert)

    # First from Kafka alone, then with what history has.
    check()
    (broken,) = trace.follow(f"{orders}/1/1")
    assert broken.outcome == "quarantined: not a json message of this source's schema"
    assert broken.dead_letter
    assert trace.follow("order-77") == []
    history.run(updates=True)
    first = trace.follow("order-1")  # an event without copies: which of them history keeps is not fixed
    assert first[0].features["user_orders"]["all_count_600_30"] == 3

    text = shown(first[0])
    for said in (
        "admitted",
        "batch 0 of the online lane",
        "served after it, user_orders",
        "score 0.91",
        "alert critical",
    ):
        assert said in text
    assert json.loads(json.dumps(plain(first), default=str))[0]["place"] == f"{orders}/0/1"


def test_a_place_is_a_topic_a_partition_and_an_offset() -> None:
    assert Place.of("a/b/3/14") == Place("a/b", 3, 14)
    assert Place.of("41fb583a-bd29") is None
