"""Deadlines, latencies and the report, on a clock of our own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.latency import Latency
from generators.pacing import Pace
from generators.tally import Tally, report, together


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_events_fall_due_at_their_deadlines() -> None:
    clock = Clock()
    pace = Pace(rate=1000, start=100.0, clock=clock)
    assert pace.due(50) == 0
    clock.now += 0.0205
    assert pace.due(50) == 20
    pace.done += 20
    assert pace.due(50) == 0
    assert pace.behind == pytest.approx(0.0195)


def test_a_pause_is_caught_up_and_accounted() -> None:
    clock = Clock()
    pace = Pace(rate=100, start=100.0, clock=clock, limit=1000)
    clock.now += 5
    made = []
    while due := pace.due(150):
        made.append(due)
        pace.done += due
    assert made == [150, 150, 150, 50]
    assert pace.behind == pytest.approx(4.99)
    clock.now += 60
    pace.done += pace.due(10_000)
    assert pace.done == 1000
    assert pace.finished()


def test_without_a_rate_everything_is_due() -> None:
    pace = Pace(rate=None, start=0.0, clock=Clock(), limit=70)
    assert pace.due(50) == 50
    pace.done = 50
    assert pace.due(50) == 20
    assert pace.behind == 0.0


@settings(max_examples=30)
@given(st.lists(st.floats(1e-4, 100), min_size=1, max_size=400), st.floats(0.05, 0.99))
def test_quantiles_are_within_two_percent(seconds: list[float], q: float) -> None:
    latency = Latency()
    latency.add(seconds[:3])
    other = Latency()
    other.add(seconds[3:])
    got = latency.merged(other).quantile(q)
    exact = float(np.quantile(seconds, q, method="inverted_cdf"))
    assert got == pytest.approx(exact, rel=0.021)
    assert latency.merged(other).longest == max(seconds)


def test_nothing_measured_has_no_quantile() -> None:
    assert Latency().quantile(0.5) is None
    assert report(Tally())["delivery_success"] is None


def test_the_report_adds_up_over_processes() -> None:
    one = Tally(sent=100, acked=99, elapsed=2.0, behind=0.5, streams=Counter(iot=100), finished=True)
    one.failures["timed out"] = 1
    one.latency.add([0.01] * 99)
    two = Tally(sent=50, acked=50, elapsed=1.5, streams=Counter(iot=20, claims=30), finished=True)
    two.hostile.update(late=3, duplicates=2, truncated=1)
    whole = report(together([one, two]))
    assert whole["sent"] == 150
    assert whole["acked"] + whole["failed"] == 150
    assert whole["delivery_success"] == pytest.approx(149 / 150)
    assert whole["events_per_second"] == 74.5
    assert whole["streams"] == {"iot": 120, "claims": 30}
    assert whole["hostile"] == {"late": 3, "duplicates": 2, "malformed": {"truncated": 1}}
    assert whole["ack_ms"]["p50"] == pytest.approx(10, rel=0.02)
    assert whole["failures"] == {"timed out": 1}
