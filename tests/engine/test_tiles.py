"""Tiles coarsen with age: how many there are, where they are cut, and what folding does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_lane import SmallLane, lift, make_view

from streaming import tiles
from streaming.errors import DefinitionError

SHIPPED = (
    (60_000, 5_000),
    (300_000, 5_000),
    (3_600_000, 60_000),
    (86_400_000, 900_000),
    (604_800_000, 3_600_000),
)
NOW = 1_790_000_012_345


def plain_view(*windows):
    return make_view(*windows, functions=("count", "sum"))


def at(view, rows):
    """Tiles of (entity, time) rows."""
    return lift(view, [(e, (t, 0, i, {"amount": 1.0})) for i, (e, t) in enumerate(rows)])


def test_alignment_of_the_shipped_windows():
    #      7 d ...... 24 h ..... 1 h ..... 5 min ... now
    #  0   | 3600 s   |  900 s   |  60 s   |  5 s   |
    view = plain_view(*SHIPPED)
    ages = [0, 294_000, 310_000, 3_500_000, 3_700_000, 80_000_000, 90_000_000, 600_000_000, 700_000_000]
    start = np.array([(NOW - age) // 5_000 * 5_000 for age in ages])
    aligned = tiles.alignment(view, start, np.full(len(start), NOW)).tolist()
    assert aligned == [5_000, 5_000, 60_000, 60_000, 900_000, 900_000, 3_600_000, 3_600_000, 0]


window = st.builds(lambda slide, steps: (slide * steps, slide), st.integers(1, 30), st.integers(1, 12))


@settings(max_examples=200)
@given(
    st.lists(window, min_size=1, max_size=5),
    st.integers(0, 10**6),
    st.lists(st.integers(0, 400), max_size=30),
)
def test_alignment_is_the_divisor_of_the_slides_that_cover_a_tile(windows, newest, ages):
    view = plain_view(*windows)
    start = np.array([max(newest - age, 0) for age in ages], np.int64)
    got = tiles.alignment(view, start, np.full(len(start), newest, np.int64)).tolist()
    slides = [[s for w, s in windows if t >= (newest // s + 1) * s - w] for t in start.tolist()]
    assert got == [math.gcd(*covering) for covering in slides]


@settings(max_examples=100)
@given(st.lists(window, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 900))))
def test_merge_sorts_aligns_and_keeps_every_covered_event_once(windows, rows):
    view = plain_view(*windows)
    newest = np.array([max((t for e, t in rows if e == entity), default=0) for entity in range(3)], np.int64)
    merged = tiles.merge(view, [at(view, rows)], newest)
    places = list(zip(merged.entity.tolist(), merged.start.tolist(), strict=True))
    assert places == sorted(set(places))
    aligned = tiles.alignment(view, merged.start, newest[merged.entity])
    assert not (merged.start % aligned).any()
    covered = sum(any(t >= (newest[e] // s + 1) * s - w for w, s in windows) for e, t in rows)
    assert merged.columns[":rows"].sum() == covered
    again = tiles.merge(view, [merged], newest)
    assert places == list(zip(again.entity.tolist(), again.start.tolist(), strict=True))


def test_a_long_window_costs_no_more_than_its_coarse_tiles():
    view = plain_view(*SHIPPED)
    every_second = np.arange(NOW - 700_000_000, NOW, 30_000)
    merged = tiles.merge(view, [at(view, [(0, int(t)) for t in every_second])], np.array([NOW]))
    # 5 min / 5 s (one event in 30 s) + 1 h / 1 min + 24 h / 15 min + 7 d / 1 h
    assert len(merged) <= 300 / 30 + 60 + 96 + 168 + 4


def test_no_tiles_at_all():
    view = plain_view(*SHIPPED)
    nothing = tiles.merge(view, [], np.zeros(2, np.int64))
    assert len(nothing) == 0
    features = tiles.evaluate(view, nothing, np.array([NOW, 0]))
    assert features.values["events_60000_5000"].tolist() == [0, 0]
    assert features.values["amount_sum_60000_5000"].tolist() == [0.0, 0.0]


def test_fold_leaves_base_tiles_in_the_head():
    view = plain_view((10, 1), (1000, 10))
    rows = [(0, t) for t in range(500, 1001, 5)] + [(1, t) for t in range(900, 1001, 5)]
    newest = np.array([1000, 1000])
    head = tiles.merge(view, [at(view, rows)], newest)
    folded = tiles.fold(view, head, newest)
    assert folded.tolist() == [True, False]  # 49 coarse tiles, and 9 coarse tiles
    young, old = tiles.split(view, head, newest, folded)
    assert set(old.entity.tolist()) == {0}
    assert old.start.max() < 991 <= young.start[young.entity == 0].min()
    assert young.columns[":rows"].sum() + old.columns[":rows"].sum() == len(rows)


@pytest.mark.parametrize("coarse", [tiles.FOLD_SLACK - 1, tiles.FOLD_SLACK])
def test_fold_waits_for_its_slack(coarse):
    view = plain_view((10, 1), (1000, 10))
    rows = [(0, 1000)] + [(0, 980 - 10 * i) for i in range(coarse)]
    head = tiles.merge(view, [at(view, rows)], np.array([1000]))
    assert tiles.fold(view, head, np.array([1000])).tolist() == [coarse == tiles.FOLD_SLACK]


def test_the_tail_is_rewritten_rarely():
    view = plain_view(*SHIPPED)
    lane = SmallLane(view)
    for i in range(400):
        lane.feed([(0, (NOW + i * 10_000, 0, i, {"amount": 1.0}))])
    # 4,000 s are 66 one-minute tiles: a fold for every 16 of them, less the 5 minutes of the head
    assert 2 <= lane.folds <= 5


def test_the_same_tile_may_be_in_head_and_tail():
    view = plain_view((60, 5), (600, 60))
    one, two = at(view, [(0, 100), (0, 590)]), at(view, [(0, 110), (0, 100)])
    both = tiles.concat(view.slots, [one, two])
    merged = tiles.merge(view, [one, two], np.array([590]))
    for held in (both, merged):
        got = tiles.evaluate(view, held, np.array([590]))
        assert [got.values[f"events_{w}_{s}"][0] for w, s in [(60, 5), (600, 60)]] == [1, 4]


def test_many_entities_take_the_same_values_as_one_by_one():
    # more tiles than are evaluated at once without compacting them first
    view = make_view((60, 5), (300, 20), (7000, 70))
    rng = np.random.default_rng(5)
    rows = [
        (int(e), (int(t), 0, i, {"amount": float(x), "points": int(x), "shop": b"%d" % x}))
        for i, (e, t, x) in enumerate(
            zip(rng.integers(0, 9, 9000), rng.integers(0, 9000, 9000), rng.integers(0, 99, 9000), strict=True)
        )
    ]
    every = lift(view, rows)
    moments = np.arange(9000, 9900, 100)
    whole = tiles.evaluate(view, every, moments)
    for entity, moment in enumerate(moments):
        mine = tiles.merge(
            view, [lift(view, [(0, event) for e, event in rows if e == entity])], np.array([9000])
        )
        alone = tiles.evaluate(view, mine, np.array([moment]))
        for name, values in alone.values.items():
            assert whole.valid[name][entity] == alone.valid[name][0]
            if alone.valid[name][0]:
                got = whole.values[name][entity]
                assert got == values[0] or math.isclose(got, values[0], rel_tol=1e-9), name


def test_too_many_different_slides_are_refused():
    view = plain_view(*[(slide, slide) for slide in range(1, tiles.MAX_SLIDES + 2)])
    with pytest.raises(DefinitionError, match="split it into two views"):
        tiles.alignment(view, np.zeros(1, np.int64), np.zeros(1, np.int64))
