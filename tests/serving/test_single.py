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
KINDS = {"amount": "f64", "score": "i64", "city": "str"}
VIEW = view(
    [
        (f"{function}_{column}_{i}", function, column, window, "DOUBLE")
        for i, window in enumerate(WINDOWS)
        for column in ("amount", "score")
        for function in FUNCTIONS
    ]
    + [("events", "count", "", WINDOWS[2], "INT64")]
    + [
        (f"different_{column}_{i}", "count_distinct", column, window, "INT64")
        for i, window in enumerate(WINDOWS)
        for column in ("amount", "city")
    ],
    KINDS,
    distinct_k=4,
)


HASHES = {name: np.array([5, 2**63 + 9], np.uint64) for name in ("amount", "city")}


def general(blobs, at):
    codec = RingCodec(VIEW)
    headers = codec.decode_headers([blobs[0]])
    both = [codec.decode_tiles(headers, [blob]) for blob in blobs[1:]]
    return headers, evaluate(VIEW, concat(VIEW.slots, both), np.array([at]))


@settings(max_examples=60)
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
        "city": Values(np.full(count, b"x", object), valid),
    }
    hashes = {
        "amount": random.integers(0, 2**64, count, np.uint64),
        "city": random.choice(random.integers(0, 2**64, 6, np.uint64), count),
    }
    (blobs,) = encoded(VIEW, np.zeros(count, int), NOW - np.array(ages), values, hashes=hashes, fold=fold)
    at = NOW - min(ages) + idle
    headers, wanted = general(blobs, at)
    ring = SingleRing(VIEW)
    assert newest_event(blobs[0]) == headers.newest[0] == NOW - min(ages)
    result = ring.evaluate(ring.decode(*blobs[1:]), at)
    for feature in VIEW.features:
        value = result[ring.places[feature.name]]
        assert (value is not None) == wanted.valid[feature.name][0], feature
        if value is not None:
            assert value == pytest.approx(wanted.values[feature.name][0], rel=1e-9, abs=1e-9), feature


def test_an_overflowed_sum_is_left_to_the_general_way():
    values = {"amount": Values(np.array([1.7e308, 1.7e308]), np.ones(2, bool))}
    values |= {name: Values(np.array([1, 2]), np.zeros(2, bool)) for name in ("score", "city")}
    (blobs,) = encoded(VIEW, np.zeros(2, int), np.array([NOW, NOW - HOUR]), values, hashes=HASHES)
    ring = SingleRing(VIEW)
    assert ring.evaluate(ring.decode(*blobs[1:]), NOW) is None
    _, wanted = general(blobs, NOW)
    assert not wanted.valid["sum_amount_2"][0]
    assert wanted.values["sum_amount_0"][0] == 1.7e308


def test_a_value_in_both_levels_counts_once():
    """A tail is not read by a merge, so that a new head may repeat its hashes."""
    values = {name: Values(np.array([1, 2]), np.ones(2, bool)) for name in KINDS}
    old, new = (
        encoded(VIEW, np.zeros(2, int), NOW - np.array(ages), values, hashes=HASHES, fold=fold)[0]
        for ages, fold in (([2 * DAY, 3 * DAY], True), ([1, HOUR // 2], False))
    )
    blobs = [new[0], new[1], old[2]]
    assert len(old[2]) > 100
    _, wanted = general(blobs, NOW)
    ring = SingleRing(VIEW)
    result = ring.evaluate(ring.decode(*blobs[1:]), NOW)
    for name in ("different_amount_0", "different_amount_1", "different_city_2", "events"):
        assert result[ring.places[name]] == wanted.values[name][0], name
    assert (result[ring.places["different_city_2"]], result[ring.places["events"]]) == (2, 3)


def test_other_layouts_and_damaged_blobs_are_left_to_the_codec():
    values = {name: Values(np.array([1]), np.ones(1, bool)) for name in KINDS}
    (blobs,) = encoded(VIEW, [0], [NOW], values, hashes={name: one[:1] for name, one in HASHES.items()})
    ring, head = SingleRing(VIEW), blobs[1]
    assert ring.decode(head, None) is not None
    assert ring.decode(head[:-1], None) is None
    assert ring.decode(head[:7], None) is None
    assert ring.decode(bytes(4) + head[4:], None) is None
    assert ring.decode(head[:-4] + b"\1\0\0\0", None) is None  # the tile of its last hash
    assert newest_event(b"\x09" + blobs[0][1:]) is None
    assert newest_event(blobs[0][:-1]) is None
    assert not SingleRing(view([("l", "last", "city", WINDOWS[1], "STRING")], {"city": "str"})).able
