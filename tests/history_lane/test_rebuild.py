"""Rings written anew from history: equal to those of a lane that was never disturbed, and never counted twice."""

import time

import pytest
import redis
from history_world import History
from lane_orders import Copy, Good, wave, wrong
from lane_world import World, running
from redis_server import wait_for

from serving.deletion import delete_plan, delete_project
from streaming.checkpoint import BEFORE_FIRST, Checkpoint
from streaming.errors import FencedError, LostWritesError, TidemarkError
from streaming.history import rebuild
from streaming.history.rebuild import Rebuild, Rebuilt

MINUTE = 60_000


@pytest.fixture
def world(history: History) -> World:
    return history.world


def rebuilt(history: History, spark, views: list[str] | None = None, checkpoint=None) -> Rebuilt:
    world = history.world
    plan = world.plan(spark, views)
    held = Checkpoint(str(checkpoint or world.checkpoint))
    work = Rebuild(
        plan, held, world.settings(), spark, str(history.folder), str(history.checkpoint), every=views is None
    )
    return work.run(lambda: delete_plan(world.repo, plan))


def check(world: World, spark, at: int) -> None:
    for view in world.plan(spark).views:
        if view.name != "user_visits":
            assert not wrong(world, view, lambda _: at)
            assert not wrong(world, view, lambda newest: newest, "latest_event")


def send(world: World, seed: int, count: int, start: int, end: int) -> None:
    now = int(time.time() * 1000)
    world.send(wave(seed, count, now - start * MINUTE, now - end * MINUTE))


def test_an_empty_redis_is_filled_again_and_the_lane_goes_on(
    history: History, world: World, spark, monkeypatch
):
    """Days are passes, and a pass has several tasks: an entity is merged in each."""
    monkeypatch.setattr(rebuild, "SLICE", 300)
    monkeypatch.setattr(rebuild, "TASK", 200)
    send(world, 1, 500, 3000, 70)
    world.run(spark, max_events=200)
    # Late enough that the lane is ahead of nothing, and history ahead of the lane.
    send(world, 2, 300, 75, 20)
    history.run()
    delete_project(redis.Redis(*world.redis.split(":")), world.project)
    with pytest.raises(LostWritesError, match="no marker of this lane: run `tidemark rebuild`"):
        world.run(spark)
    done = rebuilt(history, spark)
    assert done.batch >= 2
    assert 0 < done.events <= 500
    lines = world.run(spark)
    assert sum(line["read"] for line in lines) == 300, "what the lane had done is not read again"
    newest = int(time.time() * 1000)
    check(world, spark, newest)
    send(world, 3, 200, 20, 1)
    world.run(spark)
    check(world, spark, newest + MINUTE)


def test_a_new_checkpoint_begins_where_history_ends(history: History, world: World, spark, tmp_path):
    """Backfill to T, then stream from T: copies of what came before T are still copies."""
    send(world, 1, 500, 150, 70)
    world.run(spark)
    history.run()
    old = [(m.partition, m.value) for m, about in world.sent if isinstance(about, Good)][-20:]
    world.send([("orders", partition, value, Copy()) for partition, value in old])
    send(world, 2, 300, 75, 20)
    fresh = tmp_path / "fresh"
    done = rebuilt(history, spark, checkpoint=fresh)
    assert done.batch == BEFORE_FIRST
    with pytest.raises(FencedError, match="belong to another checkpoint"):
        world.run(spark)
    lines = world.run(spark, checkpoint=fresh)
    assert sum(line["read"] for line in lines) == 320
    copies = sum(isinstance(about, Copy) for m, about in world.sent[500:])
    assert sum(line["duplicates"] for line in lines) == copies >= 20
    check(world, spark, int(time.time() * 1000))
    send(world, 3, 100, 20, 1)
    world.run(spark, checkpoint=fresh)
    check(world, spark, int(time.time() * 1000))


def test_a_new_feature_is_filled_and_the_other_views_are_left_alone(history: History, world: World, spark):
    send(world, 1, 400, 100, 2)
    world.run(spark)
    history.run()
    world.apply(wider=True)
    world.run(spark)
    view = world.plan(spark, ["user_orders"]).views[0]
    now = int(time.time() * 1000)
    assert wrong(world, view, lambda _: now), "new features are null until their windows are whole"
    rebuilt(history, spark, ["user_orders"])
    check(world, spark, now)
    send(world, 2, 100, 2, 1)
    world.run(spark)
    check(world, spark, now + MINUTE)


def test_what_cannot_be_rebuilt_says_why(history: History, world: World, spark, tmp_path):
    send(world, 1, 60, 30, 20)
    world.run(spark)
    with pytest.raises(
        TidemarkError, match=r"no history lane's checkpoint in .*: run `tidemark stream history` first"
    ):
        rebuilt(history, spark)
    history.run()
    send(world, 2, 40, 20, 10)
    world.run(spark)
    with pytest.raises(TidemarkError, match=r"messages behind the lane in .*--until-caught-up` first"):
        rebuilt(history, spark)
    with pytest.raises(TidemarkError, match="is a new checkpoint: rebuild all views"):
        rebuilt(history, spark, ["user_orders"], tmp_path / "none")
    history.run()
    lane = world.lane(spark)
    with running(lane) as raised:
        wait_for(lambda: lane.keeper.epoch > 0)
        with pytest.raises(FencedError, match=r"is being written by process .*: stop it"):
            rebuilt(history, spark)
    assert not raised


def test_a_rebuild_that_was_cut_short_keeps_the_lane_from_starting(
    history: History, world: World, spark, monkeypatch
):
    send(world, 1, 100, 30, 20)
    world.run(spark)
    history.run()
    with monkeypatch.context() as patch:
        patch.setattr(rebuild.Keeper, "rebuilt", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rebuilt(history, spark)
    with pytest.raises(LostWritesError, match=r"a rebuild for .* did not end: run `tidemark rebuild` again"):
        world.run(spark)
    rebuilt(history, spark)
    world.run(spark)
    check(world, spark, int(time.time() * 1000))
