"""Random streams through the whole of tiles and rings, against the naive oracle."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import feature_value
from small_lane import SmallLane, make_view, same

WINDOWS = [
    ((60, 5), (300, 5), (3600, 60)),
    ((60, 60), (300, 300)),  # tumbling
    ((60, 60), (60, 5), (60, 20)),  # one length, three slides
    ((7, 7), (8, 4), (30, 10), (42, 6)),  # slides with gcd 1
    ((12, 4), (18, 6), (25, 5), (1000, 50)),
    ((1, 1), (2, 1), (50, 25)),
    ((900, 300), (86_400, 86_400), (6, 3)),  # a long tumbling window over a short sliding one
    ((77, 11), (91, 13), (34, 17)),  # coprime slides: base 1
]
amounts = st.none() | st.floats(-1e3, 1e3) | st.sampled_from([float("nan"), float("inf"), 1e8, 1e8 + 1, -0.0])
points = st.none() | st.integers(-9, 9) | st.sampled_from([2**63 - 1, -(2**63)])
shops = st.none() | st.sampled_from([b"", b"a", b"ab", b"b", b"\xc3\xa9", b"\x00", b"\xff" * 300])


@st.composite
def streams(draw):
    """Windows, a fold slack, batches of (entity, event), and moments to read at after each batch."""
    windows = draw(st.sampled_from(WINDOWS))
    longest = max(length for length, _ in windows)
    clock = draw(st.integers(0, 10**13))
    disorder = st.sampled_from([0, 0, 0, 1, 4, longest // 2, longest - 1, longest, longest * 3])
    steps = st.sampled_from([0, 1, 2, 5, 17, 60, longest // 3, longest, longest * 5])
    batches, offset = [], 0
    for _ in range(draw(st.integers(1, 12))):
        clock += draw(steps)
        rows = []
        for _ in range(draw(st.integers(0, 6))):
            time = max(clock - draw(disorder) - draw(st.integers(0, 3)), 0)
            values = {"amount": draw(amounts), "points": draw(points), "shop": draw(shops)}
            rows.append((draw(st.integers(0, 2)), (time, draw(st.integers(0, 3)), offset, values)))
            offset += 1
        batches.append((rows, draw(st.sampled_from([0, 0, 1, 3, 59, longest - 1, longest, longest * 2]))))
    return windows, batches


def check(lane: SmallLane, idle: int) -> None:
    """Both leading edges: at the newest event, and `idle` later."""
    for at in (lane.newest, lane.newest + idle):
        for entity, got in enumerate(lane.read(at)):
            events = lane.events[entity]
            for feature in lane.view.features if events else ():
                window, t = feature.window, int(at[entity])
                want = feature_value(events, feature.function, feature.column, window.length, window.slide, t)
                assert same(got[feature.name], want, feature, events), (feature, t, got[feature.name], want)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(streams())
def test_every_function_over_disorder_lateness_idleness_and_nulls(stream):
    windows, batches = stream
    lane = SmallLane(make_view(*windows), entities=3)
    for rows, idle in batches:
        lane.feed(rows)
        check(lane, idle)


@pytest.mark.parametrize("windows", WINDOWS, ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_long_streams_that_fold_and_expire(windows, seed):
    """Enough events an entity for heads to be folded into tails again and again."""
    rng = np.random.default_rng(seed)
    lane = SmallLane(
        make_view(*windows, functions=("count", "sum", "min", "last", "count_distinct")), entities=2
    )
    longest, base = max(length for length, _ in windows), lane.view.base
    clock = offset = 0
    for batch in range(150):
        clock += int(rng.choice([1, base, 3 * base, longest // 40 + 1]))
        if batch == 120:
            clock += 3 * longest
        rows = []
        for _ in range(int(rng.integers(1, 8))):
            late = int(rng.choice([0, 0, 0, base, longest // 2]))
            values = {"amount": float(rng.integers(0, 50)), "points": int(rng.integers(0, 40)), "shop": b"s"}
            rows.append((int(rng.integers(0, 2)), (max(clock - late, 0), 0, offset, values)))
            offset += 1
        lane.feed(rows)
        if batch % 10 == 9:
            check(lane, int(rng.integers(0, longest)))
    assert lane.folds or all(length // slide < 16 for length, slide in windows)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(streams(), st.randoms(use_true_random=False))
def test_how_a_stream_is_cut_into_batches_changes_nothing(stream, random):
    windows, batches = stream
    rows = [row for batch, _ in batches for row in batch]
    view = make_view(*windows)
    whole, single = SmallLane(view, entities=3), SmallLane(view, entities=3)
    whole.feed(rows)
    shuffled = random.sample(rows, len(rows))
    for row in shuffled:
        single.feed([row])
    at = whole.newest
    for entity, (a, b) in enumerate(zip(whole.read(at), single.read(at), strict=True)):
        for feature in view.features if whole.events[entity] else ():
            x, y = a[feature.name], b[feature.name]
            assert same(
                x, None if y is None else y.item() if hasattr(y, "item") else y, feature, whole.events[entity]
            )
