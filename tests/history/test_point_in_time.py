"""History against the naive oracle: any disorder, any moments, blocks cut anywhere."""

import numpy as np
import pytest
from histories import AFTER_ALL, BEFORE_ALL, answers, by_moment, check, rows, seen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_lane import SmallLane, make_view, same

WINDOWS = [
    ((60, 5), (300, 5), (3600, 60)),
    ((60, 60), (300, 300)),  # tumbling
    ((7, 7), (8, 4), (30, 10), (42, 6)),  # slides with gcd 1
    ((900, 300), (86_400, 86_400), (6, 3)),
]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
odd = [float("nan"), float("inf"), 1e8, 1e8 + 1, -0.0, 1e16, 3.01, 1e-9, 1e300, -1e300, 1e-300]
amounts = st.none() | st.floats(-1e3, 1e3) | st.sampled_from(odd)
points = st.none() | st.integers(-9, 9) | st.sampled_from([2**63 - 1, -(2**63)])
shops = st.none() | st.sampled_from([b"", b"a", b"ab", b"b", b"\xc3\xa9", b"\x00"])


@st.composite
def histories(draw):
    """Windows, (entity, event)s, and moments that ask: at, next to and far from events, of every kind."""
    windows = draw(st.sampled_from(WINDOWS))
    longest = max(length for length, _ in windows) * 1000
    clock = draw(st.sampled_from([0, 1_790_000_000_000_000, -5_000_000]))
    steps = st.sampled_from(
        [0, 0, 1, 999, 1000, 5_000, 59_999, longest // 3, longest - 1, longest, 3 * longest]
    )
    events, times = [], [clock]
    for offset in range(draw(st.integers(0, 25))):
        clock += draw(steps)
        values = {"amount": draw(amounts), "points": draw(points), "shop": draw(shops)}
        time = clock - draw(st.sampled_from([0, 0, 1, 1000, longest]))
        events.append((draw(st.integers(0, 2)), (time, draw(st.integers(0, 2)), offset, values)))
        times.append(time)
    moments = []
    for _ in range(draw(st.integers(1, 12))):
        entity, event = draw(st.sampled_from(events)) if events else (0, (clock, 0, 0, {}))
        time = draw(st.sampled_from(times)) + draw(st.sampled_from([0, 0, 1, -1, 1000, longest - 1, longest]))
        moments.append(
            draw(
                st.sampled_from(
                    [(entity, time, AFTER_ALL, 0), (entity, time, BEFORE_ALL, 0), (entity, *event[:3])]
                )
            )
        )
    return windows, events, moments, draw(st.integers(1, 12))


@settings(max_examples=150, suppress_health_check=SLOW)
@given(histories())
def test_every_function_at_every_moment_however_blocks_are_cut(history):
    windows, events, moments, size = history
    view = make_view(*windows)
    batch = rows(events, moments)
    for found in (answers(view, batch), answers(view, batch, size)):
        for moment, got in zip(moments, by_moment(view, found, len(moments)), strict=True):
            check(view, seen(events, moment), moment[1], got)


@settings(max_examples=80, suppress_health_check=SLOW)
@given(histories(), st.data())
def test_as_processed_sees_what_the_offsets_say(history, data):
    windows, events, moments, size = history
    view = make_view(*windows)
    moments = [(entity, time, AFTER_ALL, 0) for entity, time, _, _ in moments]
    bounds = [[data.draw(st.integers(0, 26)) for _ in range(data.draw(st.integers(0, 3)))] for _ in moments]
    batch = rows(events, moments, bounds)
    for held in (size, 1 << 18):
        found = by_moment(view, answers(view, batch, held, as_processed=True), len(moments))
        for moment, ends, got in zip(moments, bounds, found, strict=True):
            visible = [(e, ev) for e, ev in events if ev[1] < len(ends) and ev[2] < ends[ev[1]]]
            mine = seen(visible, moment)
            if got is None or not mine:
                # Of an entity whose events are all older than the longest window only that it was seen is kept.
                assert not mine
                assert got is None or held == size
                continue
            check(view, mine, moment[1], got)


@settings(max_examples=40, suppress_health_check=SLOW)
@given(histories())
def test_every_event_is_a_moment_that_sees_its_time(history):
    windows, events, _, size = history
    view = make_view(*windows)
    found = answers(view, rows(events, []), size, every_event=True)
    assert sum(len(answer.read.number) for answer in found) == len(events)
    for answer in found:
        keys = answer.read.keys.to_pylist()
        for i, (code, time) in enumerate(zip(answer.read.entity, answer.read.time.tolist(), strict=True)):
            mine = seen(events, (int(keys[code]), time, AFTER_ALL, 0))
            got = {
                n: v[i] if answer.features.valid[n][i] else None for n, v in answer.features.values.items()
            }
            check(view, mine, time, {n: v.item() if hasattr(v, "item") else v for n, v in got.items()})


@pytest.mark.parametrize("k", [2, 8])
def test_distinct_counts_are_the_engines_estimates(k):
    """More values than k: the same estimate as from rings, for every event and across blocks."""
    rng = np.random.default_rng(k)
    view = make_view((60, 5), (600, 60), functions=("count_distinct",), k=k)
    events, time = [], 0
    for offset in range(400):
        time += int(rng.integers(0, 9)) * 1000
        values = {"amount": float(rng.integers(0, 90)), "points": int(rng.integers(0, 5)), "shop": b"s"}
        events.append((0, (time, 0, offset, values)))
    moments = [(0, event[0], AFTER_ALL, 0) for _, event in events]
    batch = rows(events, moments)
    for size in (1 << 18, 31):
        found = by_moment(view, answers(view, batch, size), len(moments))
        lane = SmallLane(view)
        for i, (entity, event) in enumerate(events):
            lane.feed([(entity, (event[0] // 1000, *event[1:]))])
            if i + 1 < len(events) and events[i + 1][1][0] == event[0]:
                continue
            assert lane.read(lane.newest)[0] == found[i]


def test_what_was_added_before_a_window_is_forgotten_exactly():
    """After another entity's 1e16, and its own, a window still holds 1.0 + 2.01."""
    view = make_view((10, 10), functions=("sum", "std"))
    amounts = [
        (0, 0, 1e16),
        (0, 5, 1.0),
        (1, 0, 1e16),
        (1, 20, 1.0),
        (1, 21, 2.01),
        (2, 20, 1e8),
        (2, 21, 1e8 + 2),
    ]
    events = [(e, (ms * 1000, 0, i, {"amount": a})) for i, (e, ms, a) in enumerate(amounts)]
    moments = [(1, 25_000, AFTER_ALL, 0), (2, 25_000, AFTER_ALL, 0)]
    first, second = by_moment(view, answers(view, rows(events, moments)), 2)
    assert first["amount_sum_10_10"] == pytest.approx(3.01, rel=1e-15)
    assert second["amount_std_10_10"] == pytest.approx(2**0.5, rel=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_history_is_what_the_rings_served(seed):
    """Batches of disordered events: what rings say after each equals history as it was processed."""
    rng = np.random.default_rng(seed)
    view = make_view((60, 5), (300, 20), (3600, 60))
    lane, events, moments, bounds, served = SmallLane(view, entities=3), [], [], [], []
    clock = 1_790_000_000_000
    for _ in range(60):
        clock += int(rng.integers(0, 400))
        fed = []
        for _ in range(int(rng.integers(1, 6))):
            late = int(rng.choice([0, 0, 0, 7, 300]))
            values = {"amount": float(rng.normal(1e6, 1)), "points": int(rng.integers(9)), "shop": b"s"}
            offset = len(events)
            event = (clock - late, offset % 2, offset // 2, values)
            events.append((int(rng.integers(0, 3)), event))
            fed.append(events[-1])
        lane.feed(fed)
        newest = lane.newest
        for entity, got in enumerate(lane.read(newest)):
            if lane.events[entity]:
                moments.append((entity, int(newest[entity]) * 1000, AFTER_ALL, 0))
                bounds.append([(len(events) + 1) // 2, len(events) // 2])
                served.append(got)
    stored = [(e, (event[0] * 1000, *event[1:])) for e, event in events]
    batch = rows(stored, moments, bounds)
    for size in (40, 1 << 18):
        found = by_moment(view, answers(view, batch, size, as_processed=True), len(moments))
        for want, got in zip(served, found, strict=True):
            for feature in view.features:
                x, y = got[feature.name], want[feature.name]
                y = y.item() if hasattr(y, "item") else y
                assert same(x, y, feature, [e for _, e in events]), (feature, x, y)
