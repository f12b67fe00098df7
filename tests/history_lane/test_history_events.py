"""Every message ends in one table, once."""

import json
import time
from collections import Counter

import pytest
from history_world import History
from lane_orders import Bad, Good, wave
from lane_world import iso, send

from streaming.errors import TidemarkError
from streaming.lanes.history import HistoryLane

MINUTE = 60_000


def test_every_message_is_kept_once(history: History) -> None:
    """Good, late, doubled and broken ones, in small batches over several starts of the lane."""
    world, now = history.world, int(time.time() * 1000)
    delay = 30 * MINUTE
    expected_late: dict[tuple, bool] = {}
    newest = 0
    for seed, hours in ((1, 3), (2, 2), (3, 1)):
        begin = len(world.sent)
        world.send(wave(seed, 250, now - hours * 60 * MINUTE, now - (hours - 1) * 60 * MINUTE - MINUTE))
        (line,) = history.run()
        fresh = world.sent[begin:]
        good = [about.time for _, about in fresh if isinstance(about, Good)]
        assert line["read"] == {"orders": len(fresh), "visits": 0}
        assert line["written"]["orders"] == len(good)
        assert sum(line["quarantined"]["orders"].values()) == sum(isinstance(a, Bad) for _, a in fresh)
        assert line["watermarks"] == ({"orders": newest - delay} if newest else {})
        for message, about in fresh:
            if isinstance(about, Good):
                expected_late[message.partition, message.offset] = (
                    bool(newest) and about.time < newest - delay
                )
        newest = max([newest, *good])

    rows = history.rows("events/orders")
    places = {(m.partition, m.offset): about for m, about in history.good}
    assert Counter((r._partition, r._offset) for r in rows) == Counter(places.keys())
    assert {(r._partition, r._offset): r._late for r in rows} == expected_late
    assert {True, False} == set(expected_late.values())
    for row in rows:
        about = places[row._partition, row._offset]
        assert iso(round(row.event_time.timestamp() * 1000)) == iso(about.time)
        assert str(row.event_date) == iso(about.time)[:10]
        for name in ("order_id", "user_id", "shop_id", "points", "city", "gift", "status", "discount"):
            assert row[name] == about.values[name], name
        assert row._topic == world.given["orders"]
        assert row._arrived <= row._created
    assert history.table("events/orders").columns[-7:-1] == [
        "_topic",
        "_partition",
        "_offset",
        "_arrived",
        "_late",
        "_created",
    ]
    assert history.rows("events/visits") == []

    bad = {
        (m.partition, m.offset): (m.value, about.reason) for m, about in world.sent if isinstance(about, Bad)
    }
    quarantined = history.rows("quarantine")
    assert Counter((r._partition, r._offset) for r in quarantined) == Counter(bad.keys())
    for row in quarantined:
        value, reason = bad[row._partition, row._offset]
        assert (None if row._value is None else bytes(row._value)) == value
        assert row._reason.startswith(reason)
        assert (row._source, row._topic) == ("orders", world.given["orders"])
        assert row.date is not None


def test_the_feature_log_holds_every_update(history: History) -> None:
    """What the online lane sent, and something else that is in its topic."""
    world, now = history.world, int(time.time() * 1000)
    world.send(wave(4, 60, now - 20 * MINUTE, now - MINUTE))
    world.run(history.spark, views=["pair_orders"])
    send(world.kafka, [(world.updates, 0, b"what?"), (world.updates, 1, None)])
    line = next(line for line in history.run(updates=True) if line["flow"] == "updates")
    sent = world.updated_rows() if hasattr(world, "updated_rows") else _updates(world)
    rows = history.rows("feature_log")
    assert line["written"] == {world.updates: len(sent)}
    assert Counter((r._partition, r._offset) for r in rows) == Counter(sent.keys())
    for row in rows:
        update = sent[row._partition, row._offset]
        assert (row.view, row.batch) == (update["view"], update["batch"])
        assert json.loads(row.entity) == update["entity"]
        assert json.loads(row.features) == update["features"]
        assert iso(round(row.event_timestamp.timestamp() * 1000)) == update["event_timestamp"]
    assert len([r for r in history.rows("quarantine") if r._topic == world.updates]) == 2
    assert not [line for line in history.run(updates=True) if line["flow"] == "updates"]
    assert len(history.rows("feature_log")) == len(sent)


def _updates(world) -> dict[tuple, dict]:
    from lane_world import read_topic

    return {
        (m.partition, m.offset): json.loads(m.value)
        for m in read_topic(world.kafka, world.updates)
        if m.value not in (None, b"what?")
    }


def test_another_checkpoint_is_refused(history: History, tmp_path) -> None:
    """Its batches would be the same events under other ids."""
    now = int(time.time() * 1000)
    history.world.send(wave(5, 20, now - 10 * MINUTE, now - MINUTE))
    history.run()
    before = len(history.rows("events/orders"))
    first = history.checkpoint
    history.checkpoint = tmp_path / "another"
    with pytest.raises(TidemarkError, match="was written from another checkpoint: start the lane on that"):
        history.run()
    history.checkpoint = first
    history.run()
    assert len(history.rows("events/orders")) == before


def test_a_column_named_like_one_of_ours_is_refused(history: History) -> None:
    from dataclasses import replace

    lane: HistoryLane = history.lane()
    orders, *rest = lane.plan.sources
    renamed = replace(orders, schema=orders.schema.replace('"city"', '"_Late"'))
    lane.plan = replace(lane.plan, sources=(renamed, *rest))
    with pytest.raises(TidemarkError, match="has a column _late, which is the history's own: rename it"):
        lane.run(until_caught_up=True)
