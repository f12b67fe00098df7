"""What a changed definition needs, by hand-made metadata and by the lane's own rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.checkpoint import Entry
from streaming.definitions.changes import Change, Grown, Lane, ViewChanges, compare, grown, whole_at
from streaming.plan import Feature, Plan, Slot, Source, View, Window
from streaming.redis import meta
from streaming.redis.meta import ViewMeta

MINUTE, HOUR = 60_000, 3_600_000
NOW = 1_700_000_000_000
SOURCE = Source("events", "events", "localhost:9092", "json", "{}", "at", max_future_skew=0)
SUM = Feature("spent", "sum", "amount", Window(HOUR, 5 * MINUTE), "DOUBLE")
SHOPS = Feature("shops", "count_distinct", "shop", Window(HOUR, 5 * MINUTE), "INT64")
SLOTS = (Slot("sum", "amount", "f64"), Slot("distinct", "shop", "str"))
SQL = (("amount", "source_0.`amount`"), ("shop", "source_0.`shop`"))
NEXT = whole_at(SUM.window, NOW)


def view(*features: Feature, **changes: Any) -> View:
    held = View("v", "v", "p", "events", (("user_id", "STRING"),), features or (SUM, SHOPS), SLOTS)
    sql = {"keys": (("user_id", "source_0.`user_id`"),), "columns": SQL, "timestamp": "source_0.`at`"}
    return replace(held, **{**sql, **changes})


def written(by: View, since: int = 0, identity: int | None = 7) -> ViewMeta:
    """What Redis says after a lane ran `by`."""
    return ViewMeta(
        {by.schema_id: (by.distinct_k, by.slots)},
        {f.name: since for f in by.features},
        {f.name: f for f in by.features},
        identity,
        {f.name: meta.origin(by, f) for f in by.features},
    )


def changes(asked: View, held: ViewMeta, lane: Lane | None = None, now: int = NOW) -> ViewChanges:
    (found,) = compare(Plan("p", (SOURCE,), (asked,)), {"v": held}, now, lane)
    return found


def change(feature: Feature, *, before: View | None = None, since: int = 0, **asked: Any) -> Change:
    """The one change of a view in which only `feature` is not as it was."""
    features = [f for f in (SUM, SHOPS) if f.name != feature.name]
    (found,) = changes(view(*features, feature, **asked), written(before or view(), since)).changes
    return found


def test_nothing_changes() -> None:
    assert changes(view(), written(view())) == ViewChanges("v", True)
    renumbered = tuple((name, sql.replace("source_0", "source_3")) for name, sql in SQL)
    assert changes(view(columns=renumbered), written(view())).changes == ()


@pytest.mark.parametrize(
    ("feature", "want"),
    [
        (replace(SUM, window=Window(HOUR // 2, 5 * MINUTE)), "window 1h/5min became 30min/5min"),
        (replace(SUM, window=Window(HOUR, 10 * MINUTE)), "window 1h/5min became 1h/10min"),
        (replace(SUM, dtype="FLOAT"), "type DOUBLE became FLOAT"),
    ],
)
def test_tiles_that_are_there_serve_at_once(feature: Feature, want: str) -> None:
    assert change(feature) == Change("spent", want, "nothing")
    new = replace(feature, name="other")
    assert change(new) == Change("other", "new, from tiles that are there", "nothing")


@pytest.mark.parametrize(
    ("feature", "what", "need", "at"),
    [
        (replace(SUM, name="most", function="max"), "new", "backfill", NEXT),
        (replace(SUM, function="mean"), "sum(amount) became mean(amount)", "backfill", NEXT),
        # An hour is there, less the slide that was cut off: the second one comes.
        (
            replace(SUM, window=Window(2 * HOUR, 5 * MINUTE)),
            "window 1h/5min became 2h/5min",
            "backfill",
            whole_at(Window(2 * HOUR, 5 * MINUTE), NOW - HOUR + 5 * MINUTE),
        ),
        (
            replace(SUM, window=Window(HOUR, MINUTE)),
            "window 1h/5min became 1h/1min",
            "rebuild",
            whole_at(Window(HOUR, MINUTE), NOW),
        ),
    ],
)
def test_what_the_tiles_lack(feature: Feature, what: str, need: Any, at: int) -> None:
    assert change(feature) == Change(feature.name, what, need, at)


@pytest.mark.parametrize(
    "asked",
    [
        {"condition": "source_0.`amount` > 0"},
        {"keys": (("user_id", "source_0.`account`"),)},
        {"timestamp": "source_0.`booked`"},
        {"columns": (("amount", "source_0.`amount` * 2"), SQL[1])},
    ],
)
def test_what_the_tiles_hold_is_something_else(asked: dict[str, Any]) -> None:
    found = changes(view(**asked), written(view()))
    assert found.need == "rebuild"
    named = {"spent"} if "columns" in asked else {"spent", "shops"}
    assert {c.feature for c in found.changes} == named
    assert {(c.what, c.whole_at) for c in found.changes} == {
        ("its source, keys, time, udf or column changed", NEXT)
    }


def test_a_larger_distinct_k_concerns_what_counts_distinct() -> None:
    more, fewer = view(distinct_k=256), view(distinct_k=16)
    (found,) = changes(more, written(view())).changes
    assert (found.feature, found.need, found.whole_at) == ("shops", "rebuild", NEXT)
    assert found.what == "distinct_k 128 became 256: it estimates from fewer until then"
    assert changes(fewer, written(view())).changes == ()


def test_features_that_go_or_still_fill_up() -> None:
    assert changes(view(SUM), written(view())).changes == (Change("shops", "no longer computed", "nothing"),)
    held = written(view(SUM), since=NOW - HOUR // 2)
    found = changes(view(SUM), held)
    assert found.changes == (Change("spent", "fills up", "backfill", whole_at(SUM.window, NOW - HOUR // 2)),)
    assert changes(view(SUM), held, now=NOW + HOUR).changes == ()


def test_nothing_known() -> None:
    empty = ViewMeta()
    note = "nothing known: the lane reads its topics from their beginning"
    assert changes(view(), empty) == ViewChanges("v", False, note)
    assert changes(view(), empty, Lane(False, [], 7)).note == note
    lost = changes(view(), empty, Lane(True, ["v"], 7))
    assert (lost.note, lost.need) == ("nothing known, although the lane has run: Redis lost it", "rebuild")
    late = changes(view(), empty, Lane(True, ["other"], 7))
    assert late.need == "backfill"
    assert late.changes == (
        Change("spent", "new", "backfill", NEXT),
        Change("shops", "new", "backfill", NEXT),
    )
    raw = changes(view(timestamp="", keys=(), columns=()), written(view()))
    assert (raw.known, raw.note) == (False, "its udf was not compiled: leave out --no-udfs to compare it")


def test_a_checkpoint_says_more() -> None:
    held = written(view())
    assert changes(view(), held, Lane(True, ["v"], 7)) == ViewChanges("v", True)
    assert "another checkpoint" in changes(view(), held, Lane(True, ["v"], 8)).note
    assert "from their beginning" in changes(view(), held, Lane(False, [], 7)).note
    left_out = changes(view(), held, Lane(True, [], 7))
    assert left_out.note == "the lane ran without it last"
    assert {c.whole_at for c in left_out.changes} == {NEXT}


@given(st.integers(0, 10**7), st.integers(1, 50), st.integers(1, 1000))
def test_whole_at_is_the_first_moment(since: int, slides: int, slide: int) -> None:
    window = Window(slides * slide, slide)
    at = whole_at(window, since)
    assert window.start(at) >= since > window.start(at - 1)


def test_topics_that_grew() -> None:
    entry = Entry(3, {}, {"a": {"0": 5, "1": 5}, "b": {"0": 9}}, {})
    assert grown(entry, {"a": 4, "b": 1, "new": 2}) == (Grown("a", 2, 4),)
    assert grown(None, {"a": 4}) == ()
