"""Definitions change under a running checkpoint: what was whole stays so, what is new is null until it is."""

import json
import random
import time

from lane_orders import Good, order, served, want, wave, wrong
from lane_world import World, running
from redis_server import wait_for

from serving.incomplete import reasons
from streaming.plan import View

MINUTE = 60_000


def millis() -> int:
    return int(time.time() * 1000)


def view_of(world: World, spark, name: str) -> View:
    (view,) = world.plan(spark, [name]).views
    return view


def values_of(world: World, view: View, user: str, at: int) -> tuple[dict, dict]:
    """A user's features at a moment, and the reasons of those that are incomplete."""
    world.now = at
    with reasons() as why:
        (got,) = served(world, view, [(user,)])
    return got, dict(why)


def test_a_new_feature_is_null_until_its_window_is_whole(world: World, spark) -> None:
    now = millis()
    world.send(wave(1, 400, now - 100 * MINUTE, now - 2 * MINUTE))
    world.run(spark, views=["user_orders"])
    before = {f.name for f in view_of(world, spark, "user_orders").features}
    world.apply(wider=True)
    view = view_of(world, spark, "user_orders")
    new = {f.name for f in view.features} - before
    assert new == {"amount_sum_14400_600", "amount_sum_600_10", "points_max_7200_600"}
    world.send(wave(2, 200, now - 3 * MINUTE, now - MINUTE))
    world.run(spark, views=["user_orders"])

    got, why = values_of(world, view, "user 3", now)
    assert {name for name, value in got.items() if value is None} >= new
    assert why.keys() == {f"user_orders__{name}" for name in new}
    assert all("its window reaches back before the stream was read" in text for text in why.values())
    world.apply(wider=False)
    assert not wrong(world, view_of(world, spark, "user_orders"), lambda _: now), "old features go on"

    world.apply(wider=True)
    later = millis() + 11 * MINUTE
    got, why = values_of(world, view, "user 3", later)
    assert got["amount_sum_600_10"] is not None, "whole once its ten minutes have passed"
    assert why.keys() == {f"user_orders__{name}" for name in new - {"amount_sum_600_10"}}
    assert not wrong(world, view, lambda _: now + 300 * MINUTE), "all of them in the end"


def test_a_window_that_other_tiles_already_hold_is_whole_at_once(world: World, spark) -> None:
    """`amount_sum_14400_600` finds two hours in the tiles of `amount_sum_7200_600`, and waits for the other two."""
    now = millis()
    world.send(wave(1, 300, now - 100 * MINUTE, now - 2 * MINUTE))
    world.run(spark, views=["user_orders"])
    world.apply(wider=True)
    world.run(spark, views=["user_orders"])
    view, now = view_of(world, spark, "user_orders"), millis()
    got, why = values_of(world, view, "user 3", now + 100 * MINUTE)
    assert got["amount_sum_14400_600"] is None
    assert "user_orders__points_max_7200_600" in why
    got, why = values_of(world, view, "user 3", now + 131 * MINUTE)
    assert not why
    assert not wrong(world, view, lambda _: now + 131 * MINUTE)


def test_a_view_that_was_left_out_for_a_while_is_incomplete(world: World, spark) -> None:
    """What happened while the lane ran without the view never reached its rings."""
    now = millis()
    world.send(wave(1, 300, now - 50 * MINUTE, now - 30 * MINUTE))
    world.run(spark, views=["pair_orders", "shop_orders"])
    world.send(wave(2, 300, now - 30 * MINUTE, now - 10 * MINUTE))
    world.run(spark, views=["pair_orders"])
    world.send(wave(3, 300, now - 10 * MINUTE, now - MINUTE))
    world.run(spark, views=["pair_orders", "shop_orders"])
    assert not wrong(world, view_of(world, spark, "pair_orders"), lambda _: now)
    left_out = view_of(world, spark, "shop_orders")
    world.now = now
    (got,) = served(world, left_out, [(1,)])
    assert set(got.values()) == {None}
    assert not wrong(world, left_out, lambda _: now + 130 * MINUTE), "whole after its longest window"


def test_a_changed_filter_makes_features_incomplete(world: World, spark) -> None:
    now = millis()
    world.send(wave(1, 200, now - 30 * MINUTE, now - MINUTE))
    world.run(spark, views=["shop_orders"])
    definitions = world.repo / world.definitions
    definitions.write_text(definitions.read_text().replace('"paid")', '"open")'))
    world.apply()
    world.run(spark, views=["shop_orders"])
    world.now = now
    (got,) = served(world, view_of(world, spark, "shop_orders"), [(1,)])
    assert set(got.values()) == {None}, "the tiles hold what was paid, not what is open"


def test_started_at_the_end_of_the_stream(world: World, spark) -> None:
    """Nulls with a reason, until the windows have filled from there."""
    now = millis()
    world.send(wave(1, 300, now - 100 * MINUTE, now - MINUTE))
    lines: list[dict] = []
    lane = world.lane(spark, ["user_orders"], on_batch=lines.append)
    with running(lane, "latest") as raised:
        wait_for(lambda: (world.checkpoint / "spark" / "sources" / "0" / "0").exists() or raised, 60)
        world.send([at_once(n) for n in range(20)])
        wait_for(lambda: sum(line["read"] for line in lines) == 20 or raised, 60)
    assert not raised
    view = view_of(world, spark, "user_orders")
    got, why = values_of(world, view, "user 3", millis())
    assert set(got.values()) == {None}
    assert len(why) == len(view.features)
    # The short windows are whole after a minute (and the skew that events are allowed).
    later = millis() + 80_000
    got, why = values_of(world, view, "user 3", later)
    feature = next(f for f in view.features if f.name == "all_count_60_5")
    assert got["all_count_60_5"] == want(feature, [], later) == 0
    assert "user_orders__all_count_60_5" not in why
    assert "user_orders__all_count_7200_600" in why


def at_once(number: int) -> tuple[str, int, bytes, Good]:
    at = millis()
    values = order(random.Random(number), 10**9 + number, at, user_id="user 3")
    return "orders", 0, json.dumps(values).encode(), Good(at, values)
