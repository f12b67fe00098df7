"""Columns whose window reaches back before the stream was read are null, and say why."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from shop import NOW, Payment

from serving.incomplete import reasons
from serving.reader import NEVER, whole_at
from streaming.plan import Window
from streaming.redis import meta
from streaming.redis.bulk import Bulk, RedisTarget

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
REFS = ["activity:count_1m", "activity:count_1h", "activity:count_7d"]


def payments(user, *ages):
    return [Payment(user, 1, age, 10.0) for age in ages]


def refreshed(shop):
    """Forget what was loaded, as after REFRESH_SECONDS."""
    shop.online.catalog._entries.clear()
    return shop


@pytest.mark.parametrize("others", [[], ["somebody"]])
def test_a_window_that_begins_before_the_stream_is_null(own_shop, clock_of, others):
    shop, clock = own_shop, clock_of(own_shop)
    since = NOW - 10 * MINUTE
    history = payments("young", 1_000, MINUTE, 3 * MINUTE)
    shop.write("activity", history, complete_since=since)
    users = {"user_id": ["young", *others]}
    with reasons() as why:
        answer = refreshed(shop).read(REFS, users)
    assert [answer[name][0] for name in ("count_1m", "count_1h", "count_7d")] == [1, None, None]
    assert shop.statuses(REFS, users)["count_1h"][0] == FieldStatus.NULL_VALUE
    assert set(why) == {"activity__count_1h", "activity__count_7d"}
    whole = whole_at(Window(HOUR, 5 * MINUTE), since)
    assert why["activity__count_1h"].startswith("incomplete until 2025-11-21T05:")
    clock.now = whole - 1
    assert shop.read(REFS, users)["count_1h"][0] is None
    clock.now = whole
    assert shop.read(REFS, users)["count_1h"][0] == shop.expected("activity", history, "count_1h", whole) == 3
    assert Window(HOUR, 5 * MINUTE).start(whole) >= since > Window(HOUR, 5 * MINUTE).start(whole - 1)


def test_a_backfilled_column_is_whole_again(own_shop):
    history = payments("filled", 1_000, 3 * DAY)
    own_shop.write("activity", history, complete_since=NOW)
    assert refreshed(own_shop).read(REFS, {"user_id": ["filled"]})["count_7d"] == [None]
    own_shop.write("activity", history, complete_since={"count_7d": 0})
    assert refreshed(own_shop).read(REFS, {"user_id": ["filled"]}) == {
        "user_id": ["filled"], "count_1m": [None], "count_1h": [None], "count_7d": [2],
    }  # fmt: skip


def test_what_the_engine_never_noted_is_null_and_names_the_remedy(own_shop):
    own_shop.write("activity", payments("unnoted", 1_000), complete_since=None)
    with reasons() as why:
        answer = refreshed(own_shop).read(REFS, {"user_id": ["unnoted"]})
    assert answer["count_1m"] == [None]
    assert "tidemark rebuild" in why["activity__count_1m"]


def test_a_note_of_another_definition_does_not_count(own_shop):
    own_shop.write("activity", payments("longer", 1_000), complete_since=0)
    view = own_shop.view("activity")
    shorter = [
        replace(f, window=Window(6 * HOUR, HOUR)) if f.name == "count_7d" else f for f in view.features
    ]
    with Bulk(RedisTarget(own_shop.redis)) as bulk:
        meta.save(bulk, replace(view, features=tuple(shorter)), {"count_7d": 0})
    answer = refreshed(own_shop).read(REFS, {"user_id": ["longer"]})
    assert (answer["count_7d"], answer["count_1h"]) == ([None], [1])


def test_the_log_says_it_once(own_shop, caplog):
    own_shop.write("activity", payments("logged", 1_000), complete_since=NOW - MINUTE)
    refreshed(own_shop)
    with caplog.at_level(logging.WARNING, "serving.incomplete"):
        for _ in range(3):
            own_shop.read(REFS, {"user_id": ["logged"]})
    told = [
        record.getMessage() for record in caplog.records if "count_7d of view activity" in record.getMessage()
    ]
    assert len(told) == 1
    assert "incomplete until 2025-11-28" in told[0]


def test_a_layout_that_is_new_since_the_last_look_is_fetched(own_shop):
    """The lane starts with a changed view while a server keeps reading."""
    own_shop.write("activity", payments("relaid", 1_000))
    refreshed(own_shop).read(REFS, {"user_id": ["relaid", "x"]})
    view = own_shop.view("activity")
    newer = replace(view, slots=tuple(s for s in view.slots if s.part != "m2"))
    own_shop.write("activity", payments("relaid", 1_000, 2_000), plan=newer)
    answer = own_shop.read([*REFS, "activity:std_1h"], {"user_id": ["relaid", "x"]})
    assert answer["count_1h"] == [2, None]


def test_never_stays_never():
    assert whole_at(Window(HOUR, MINUTE), NEVER) == NEVER
