"""One ring evaluated by itself gives what the general way gives for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rings import DAY, HOUR, MINUTE, encoded, view

from serving.single import SingleRing, newest_event
from streaming.evaluation import evaluate
from streaming.parts import Values
from streaming.plan import Window
from streaming.ring import RingCodec
from streaming.tiles import concat

FUNCTIONS = ("count", "sum", "mean", "std", "var_pop", "min", "max", "first", "last")
WINDOWS = (Window(MINUTE, 5_000), Window(HOUR, 5 * MINUTE), Window(7 * DAY, 12 * HOUR), Window(HOUR, HOUR))
NOW = 1_763_700_000_000
KINDS = {"amount": "f64", "score": "i64"}
VIEW = view(
    [
        (f"{function}_{column}_{i}", function, column, window, "DOUBLE")
        for i, window in enumerate(WINDOWS)
        for column in ("amount", "score")
        for function in FUNCTIONS
    ]
    + [("events", "count", "", WINDOWS[2], "INT64")],
    KINDS,
)


def general(blobs, at):
    codec = RingCodec(VIEW)
    headers = codec.decode_headers([blobs[0]])
    both = [codec.decode_tiles(headers, [blob]) for blob in blobs[1:]]
    return headers, evaluate(VIEW, concat(VIEW.slots, both), np.array([at]))


@settings(max_examples=60, deadline=None)
@given(
    ages=st.lists(st.integers(0, 8 * DAY) | st.integers(0, HOUR), min_size=1, max_size=60),
    idle=st.sampled_from([0, 1, 4_999, HOUR, 9 * DAY]),
    holes=st.booleans(),
    fold=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_equals_the_general_way(ages, idle, holes, fold, seed):
    random = np.random.default_rng(seed)
    count = len(ages)
    valid = random.random(count) < 0.5 if holes else np.ones(count, bool)
    values = {
        "amount": Values(random.normal(1e6, 1, count), valid),
        "score": Values(random.integers(-(2**62), 2**62, count), valid[::-1].copy()),
    }
    (blobs,) = encoded(VIEW, np.zeros(count, int), NOW - np.array(ages), values, fold=fold)
    at = NOW - min(ages) + idle
    headers, wanted = general(blobs, at)
    ring = SingleRing(VIEW)
    assert newest_event(blobs[0]) == headers.newest[0] == NOW - min(ages)
    result = ring.evaluate(ring.tiles(*blobs[1:]), at)
    for feature in VIEW.features:
        value = result[ring.places[feature.name]]
        assert (value is not None) == wanted.valid[feature.name][0], feature
        if value is not None:
            assert value == pytest.approx(wanted.values[feature.name][0], rel=1e-9, abs=1e-9), feature


def test_an_overflowed_sum_is_left_to_the_general_way():
    values = {name: Values(np.array([1.7e308, 1.7e308]), np.ones(2, bool)) for name in KINDS}
    values["score"] = Values(np.array([1, 2]), np.ones(2, bool))
    (blobs,) = encoded(VIEW, np.zeros(2, int), np.array([NOW, NOW - HOUR]), values)
    ring = SingleRing(VIEW)
    assert ring.evaluate(ring.tiles(*blobs[1:]), NOW) is None
    _, wanted = general(blobs, NOW)
    assert not wanted.valid["sum_amount_2"][0]
    assert wanted.values["sum_amount_0"][0] == 1.7e308


def test_other_layouts_and_damaged_blobs_are_left_to_the_codec():
    values = {name: Values(np.array([1]), np.ones(1, bool)) for name in KINDS}
    (blobs,) = encoded(VIEW, [0], [NOW], values)
    ring = SingleRing(VIEW)
    assert ring.tiles(blobs[1], None) is not None
    assert ring.tiles(blobs[1][:-1], None) is None
    assert ring.tiles(bytes(4) + blobs[1][4:], None) is None
    assert newest_event(b"\x09" + blobs[0][1:]) is None
    assert not SingleRing(view([("d", "count_distinct", "city", WINDOWS[1], "INT64")], {"city": "str"})).able
