"""The scoring lane beside a real broker, Redis and online lane: crashes, outages, rebalances, alerts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from score_lane import ScoreWorld, running, total, until
from test_score_exact import VIEWS, differing

from generators.contracts import STREAMS
from serving.scoring.contracts import Alert, RiskScore
from serving.scoring.rings import Limits
from streaming.expressions import Message
from streaming.prepare import Prepared, Preparer


class Crash(Exception):
    """What no lane knows how to go on from."""


class Crashing(Preparer):
    """Fails at one of its calls, after the batches before it were scored and `sent` says that some of it is sent."""

    left = 1_000_000
    sent: Callable[[], object]

    def prepare(self, messages: Sequence[Message]) -> Prepared:
        self.left -= 1
        if not self.left:
            until(self.sent)
            raise Crash
        return super().prepare(messages)


@pytest.fixture
def preparer(world: ScoreWorld) -> Crashing:
    return Crashing(world.plan, world.spark, world.scorer().fields)


def begun(world: ScoreWorld, name: str = "transactions", count: int = 300) -> list[bytes | None]:
    """Events of a stream, of which the online lane has seen the first ten."""
    values = world.events(name, count, int(time.time() * 1000) - 60_000)
    world.send(name, values[:10])
    world.online()
    return values


def test_a_crash_sends_nothing_under_another_id_and_loses_nothing(
    world: ScoreWorld, preparer: Crashing
) -> None:
    values = begun(world)
    world.send("transactions", values[10:200])
    preparer.left, preparer.sent = 12, world.scores
    with pytest.raises(Crash):
        world.lane(preparer=preparer, scoring_batch=10).run(starting_offsets="earliest")
    crashed = world.scores()
    assert crashed
    world.send("transactions", [*values[200:], values[250]])
    lines = world.score("latest", preparer=preparer, scoring_batch=50)
    found = world.scores()
    by_id: dict[str, dict[str, Any]] = {}
    for score in found:
        # Nothing but the moment of scoring differs, whichever of them a reader keeps.
        known = by_id.setdefault(score["score_id"], score)
        assert known["scores"].keys() == score["scores"].keys()
        for name, value in score["scores"].items():
            near = isinstance(value, float) and known["scores"][name] is not None
            assert known["scores"][name] == (pytest.approx(value, rel=1e-9, abs=1e-12) if near else value), (
                name
            )
        assert known["inexact"] == score["inexact"]
    assert len(by_id) == 300
    assert total(lines, "duplicates") == 1
    _, wrong = differing(world, preparer, world.logged())
    assert not wrong, wrong[:3]


def test_redis_away_holds_the_lane_back_and_nothing_is_wrong(
    world: ScoreWorld, preparer: Preparer, own_redis: Any
) -> None:
    values = begun(world)
    lines: list[dict[str, Any]] = []
    # Rings that are hardly kept: every batch has to ask Redis.
    lane = world.lane(lines, preparer, limits=Limits(memory=1), backoff_seconds=0.5)
    with running(lane):
        until(lambda: total(lines, "scored") == 10)
        own_redis.kill()
        world.send("transactions", values[10:])
        time.sleep(1.5)
        assert total(lines, "scored") == 10
        own_redis.start()
        until(lambda: total(lines, "scored") == 300)
    compared, wrong = differing(world, preparer, world.logged())
    assert not wrong, wrong[:3]
    assert compared > 5_000


def test_a_stopped_online_lane_changes_nothing(world: ScoreWorld, preparer: Preparer, own_redis: Any) -> None:
    """Entities that are held, and those that are met for the first time after the online lane has stopped."""
    values = begun(world)
    world.send("transactions", values[10:])
    world.score("earliest", preparer=preparer, scoring_batch=25, limits=Limits(memory=20_000))
    compared, wrong = differing(world, preparer, world.logged())
    assert not wrong, wrong[:3]
    assert compared > 5_000


def test_two_processes_share_the_partitions(world_of_two: ScoreWorld, tmp_path: Any) -> None:
    """The second joins and leaves while events come and are read ahead; what is held follows the partitions."""
    world = world_of_two
    preparer = Preparer(world.plan, world.spark, world.scorer().fields)
    values = [world.events(name, 240, int(time.time() * 1000) - 60_000) for name in VIEWS]

    def send(begin: int, end: int) -> None:
        for name, events in zip(VIEWS, values, strict=True):
            parts: tuple[list[bytes | None], ...] = ([], [])
            for event in events[begin:end]:
                key = json.loads(event or b"")[STREAMS[name].key]
                parts[sum(key.encode()) % 2].append(event)
            for partition, chosen in enumerate(parts):
                world.send(name, chosen, partition)

    send(0, 10)
    world.online()
    first: list[dict[str, Any]] = []
    second: list[dict[str, Any]] = []
    with running(world.lane(first, preparer, scoring_batch=8)):
        send(10, 80)
        until(lambda: total(first, "scored") == 240)
        with running(world.lane(second, preparer, scoring_batch=8)):
            send(80, 120)
            until(lambda: second)
            time.sleep(4)
            send(120, 160)
            until(lambda: total(first, "scored") + total(second, "scored") >= 480)
            assert total(second, "scored") > 0
        send(160, 240)
        until(lambda: total(first, "scored") + total(second, "scored") >= 720)
    found = Counter(score["score_id"] for score in world.scores())
    assert len(found) == 720
    compared, wrong = differing(world, preparer, world.logged())
    assert not wrong, (compared, wrong[:3])


def test_messages_keep_their_contracts_and_alerts_are_held_back(
    world: ScoreWorld, preparer: Preparer
) -> None:
    values = begun(world, "claims", 120)
    world.send("claims", values[10:])
    lines = world.score("earliest", preparer=preparer)
    scores = world.scores()
    for score in scores:
        held = msgspec.convert(score, RiskScore)
        assert held.score == score["scores"]["composite_risk_score"]
        assert held.arrived <= held.scored
    alerts = [msgspec.convert(alert, Alert) for alert in world.alerts()]
    by_id = {score["score_id"]: score for score in scores}
    raised = [s for s in scores if s["score"] > 0.8 or s["scores"]["requires_manual_review"]]
    assert 0 < len(alerts) < len(raised)
    assert len(alerts) == total(lines, "alerts") == len(raised) - total(lines, "alerts_left_out")
    for alert in alerts:
        score = by_id[alert.alert_id]
        assert alert.risk_score == score["score"]
        assert alert.entity_id == score["entity"]["user_id"]
        assert alert.requires_action == score["scores"]["requires_manual_review"]
        assert alert.alert_level == ("critical" if score["score"] > 0.9 else "high")
    assert max(Counter((a.entity_id, a.alert_level) for a in alerts).values()) == 1
    assert {a.entity_id for a in alerts} == {s["entity"]["user_id"] for s in raised}


def test_a_recent_memory_that_is_too_small_is_said(world: ScoreWorld, preparer: Preparer) -> None:
    """What was let go of may be missing from a ring: flagged, and not logged."""
    values = begun(world)
    world.send("transactions", values[10:])
    small = Limits(memory=1, recent=20)
    lines = world.score("earliest", preparer=preparer, scoring_batch=20, limits=small)
    assert total(lines, "scored") == 300
    assert total(lines, "inexact") > 100
    _, wrong = differing(world, preparer, world.logged())
    assert not wrong
