"""The lane is killed at the worst moments, and nobody can tell from the features."""

import time
from pathlib import Path

import pytest
from lane_child import child, fired
from lane_orders import VIEWS, Good, wave, wrong, wrong_updates
from lane_world import World
from psutil import Process

from streaming.checkpoint import Checkpoint
from streaming.plan import Plan

MINUTE = 60_000
NAMES = ("pair_orders", "shop_orders", "user_orders")


@pytest.mark.chaos
def test_killed_again_and_again(world: World, spark, tmp_path: Path) -> None:
    """Workers die inside a pipeline to Redis and between two sends, drivers before and after the marker and by SIGKILL."""
    now = int(time.time() * 1000)
    world.send(wave(7, 3000, now - 90 * MINUTE, now - MINUTE))
    points = {"TIDEMARK_FAILPOINTS_DIR": str(tmp_path / "points")}
    size = ("--views", ",".join(NAMES), "--max-events", "300")

    first = "pipeline:4,send:150,marker:7"
    with child(world, *size, "--until-caught-up", TIDEMARK_FAILPOINTS=first, **points) as lane:
        assert lane.wait() == 137
        assert fired(tmp_path / "points") == {"pipeline", "send", "marker"}, lane.said
        # The batch whose tasks died had written some of its entities, and left those alone when it ran again.
        batches = [line["views"].values() for line in lane.lines]
        assert any(0 < sum(v["replayed"] for v in b) < sum(v["entities"] for v in b) for b in batches)
    with child(world, *size, "--until-caught-up", TIDEMARK_FAILPOINTS="commit:2", **points) as lane:
        assert lane.wait() == 137
    with child(world, *size) as lane:
        lane.until(lambda: lane.lines)
        with child(world, *size) as rival:
            assert rival.wait() == 1
            assert "is being written by process" in rival.error
            assert "stop it, or wait" in rival.error
            assert not rival.lines
        world.send(wave(8, 600, now - 20 * MINUTE, now - MINUTE))
        held = len(lane.lines)
        lane.until(lambda: len(lane.lines) > held)
        lane.kill()
    with child(world, *size, "--until-caught-up") as lane:
        assert lane.wait() == 0, lane.said
        assert all(view["unaccounted"] == 0 for line in lane.lines for view in line["views"].values())

    plan = world.plan(spark, NAMES)
    for view in plan.views:
        assert not wrong(world, view, lambda _: now)
        assert not wrong_updates(world, view)
    assert updates_sent(world, plan) == updates_due(world, plan)


@pytest.mark.chaos
def test_spark_is_killed_and_the_driver_lives(world: World, spark) -> None:
    """In the middle of its work, and while there is nothing to do."""
    now = int(time.time() * 1000)
    world.send(wave(9, 900, now - 30 * MINUTE, now - MINUTE))
    views = ("--views", "pair_orders", "--max-events", "100")
    for enough in (lambda lines: lines, lambda lines: lines and lines[-1]["lag"] == 0):
        with child(world, *views) as lane:
            lane.until(lambda enough=enough: enough(lane.lines))
            time.sleep(0.3)
            (jvm,) = [p for p in Process(lane.process.pid).children() if p.name() == "java"]
            jvm.kill()
            assert lane.wait(60) == 1
            assert lane.error.startswith("Spark's JVM has ended"), lane.said
            assert "start the lane again" in lane.error
            assert "Traceback" not in lane.log.read_text()
    world.send(wave(10, 50, now - 10 * MINUTE, now))
    with child(world, *views, "--until-caught-up") as lane:
        assert lane.wait() == 0, lane.said
    (view,) = world.plan(spark, ["pair_orders"]).views
    assert not wrong(world, view, lambda _: now)


def updates_due(world: World, plan: Plan) -> set[tuple]:
    """(view, entity, batch) of every entity that a batch of the ledger touched."""
    checkpoint = Checkpoint(str(world.checkpoint))
    topic = world.given["orders"]
    batch_of: dict[tuple[int, int], int] = {}
    for number in range(checkpoint.last_committed() + 1):
        entry = checkpoint.entry(number)
        assert entry is not None
        for partition, end in entry.end[topic].items():
            start = entry.start.get(topic, {}).get(partition, 0)
            batch_of |= {(int(partition), offset): number for offset in range(start, end)}
    due = set()
    for message, about in world.sent:
        if isinstance(about, Good):
            for view in plan.views:
                seen = VIEWS[view.name](about.values)
                if seen is not None and None not in seen[0]:
                    due.add((view.name, seen[0], batch_of[message.partition, message.offset]))
    return due


def updates_sent(world: World, plan: Plan) -> set[tuple]:
    names = {view.name: [name for name, _ in view.join_keys] for view in plan.views}
    return {
        (u["view"], tuple(u["entity"][name] for name in names[u["view"]]), u["batch"])
        for u in world.updated()
    }
