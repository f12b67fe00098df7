"""Thousands of hostile events through Kafka, Spark, Redis and Feast, against the naive oracle."""

import random
import time

from lane_orders import Bad, Copy, Good, wave, wrong, wrong_updates
from lane_world import World, read_topic

MINUTE = 60_000


def test_every_feature_at_every_moment(world: World, spark) -> None:
    """Three waves of orders, several batches each; read at both leading edges and at the edges of tiles."""
    now = int(time.time() * 1000)
    plan = world.plan(spark, ["user_orders", "shop_orders", "pair_orders"])
    lines = []
    # More than a client sends by itself, and less than a broker takes.
    world.send([("orders", 0, random.Random(0).randbytes(1_000_500), Bad("not a json"))])
    for number, (start, end) in enumerate([(150, 70), (75, 20), (20, 1)]):
        world.send(wave(number + 1, 1200, now - start * MINUTE, now - end * MINUTE))
        lines += world.run(spark, views=[view.name for view in plan.views], max_events=400)
        newest = now - end * MINUTE + 1
        for view in plan.views:
            assert not wrong(world, view, lambda _: newest)  # noqa: B023
    assert len(lines) >= 9
    check_moments(world, plan)
    check_counts(world, lines)
    check_dead_letters(world)
    for view in plan.views:
        assert not wrong_updates(world, view)


def check_moments(world: World, plan) -> None:
    views = {view.name: view for view in plan.views}
    for view in plan.views:
        assert not wrong(world, view, lambda newest: newest, "latest_event")
    pairs = views["shop_orders"]
    for step in (5_000, 30_000, 600_000):
        for offset in (-1, 0):
            # The last millisecond of a tile, and the first of the next.
            assert not wrong(world, pairs, lambda newest: (newest // step + 1) * step + offset)  # noqa: B023
    newest = max(about.time for _, about in world.sent if isinstance(about, Good))
    for later in (0, 4_999, 60_000, 3_600_000, 7_200_000, 90_000_000):
        for view in plan.views:
            assert not wrong(world, view, lambda _: newest + later)  # noqa: B023


def check_counts(world: World, lines) -> None:
    """read = used + filtered + no key + too late + duplicate + quarantined, and each is what was sent."""
    fates = [about for _, about in world.sent]
    good = [about.values for about in fates if isinstance(about, Good)]
    total: dict[str, dict[str, int]] = {}
    for line in lines:
        for name, counts in line["views"].items():
            assert counts["unaccounted"] == 0, line
            held = total.setdefault(name, {})
            for outcome, count in counts.items():
                if isinstance(count, int):
                    held[outcome] = held.get(outcome, 0) + count
    copies, bad = (sum(isinstance(about, kind) for about in fates) for kind in (Copy, Bad))
    assert copies
    assert bad
    assert sum(line["duplicates"] for line in lines) == copies
    no_key = {
        "user_orders": sum(v["user_id"] is None for v in good),
        "shop_orders": sum(v["shop_id"] is None and v["status"] == "paid" for v in good),
        "pair_orders": sum(v["user_id"] is None or v["shop_id"] is None for v in good),
    }
    for name, counts in total.items():
        assert counts["read"] == len(fates)
        assert counts["duplicate"] == copies
        assert counts["quarantined"] == bad
        assert counts["no_key"] == no_key[name]
        assert counts["filtered"] == (
            sum(v["status"] != "paid" for v in good) if name == "shop_orders" else 0
        )
        assert counts["used"] + counts["too_late"] == len(good) - counts["no_key"] - counts["filtered"]
        assert counts["too_late"] > 0
        assert counts["late"] > 0
        assert counts["not_finite"] > 0


def check_dead_letters(world: World) -> None:
    """Every broken message is there once, byte for byte, and says why and where it was."""
    want = {
        message.place: (message.value, about.reason)
        for message, about in world.sent
        if isinstance(about, Bad)
    }
    found = read_topic(world.kafka, world.dead)
    assert len(found) == len(want)
    for letter in found:
        headers = letter.headers
        place = headers["topic"], int(headers["partition"]), int(headers["offset"])
        value, reason = want.pop(place)
        assert letter.value == value
        assert headers["reason"].startswith(reason), (headers["reason"], reason, value)
        assert headers["source"] == "orders"
    assert not want
