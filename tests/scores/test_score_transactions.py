"""Scores of a payment, by hand."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from score_rows import NOON, PAYMENT, score


def payments(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return score("transactions", *rows)


def week(*amounts: float) -> dict[str, Any]:
    """The features of a user with these payments in 7 d, all of them in the last 24 h."""
    held: dict[str, Any] = {"max_transaction_amount_7d": max(amounts, default=None)}
    for window in ("24hr", "7d"):
        held[f"transaction_count_{window}"] = len(amounts)
        held[f"avg_transaction_amount_{window}"] = statistics.fmean(amounts) if amounts else None
        held[f"stddev_transaction_amount_{window}"] = statistics.stdev(amounts) if len(amounts) > 1 else None
    return held


def test_velocity_has_bounds_at_two_five_and_ten() -> None:
    found = payments(*[{"transaction_count_1hr": n} for n in (2, 3, 5, 6, 10, 11)])
    assert found["velocity_risk_score"] == [0.0, 0.4, 0.4, 0.7, 0.7, 1.0]


def test_a_payment_that_is_not_counted_yet_counts() -> None:
    found = payments({"transaction_count_1hr": 10, "event_included": False})
    assert found["velocity_risk_score"] == [1.0]


def test_time_patterns() -> None:
    found = payments(*[{"event_time": NOON.replace(hour=h)} for h in (0, 1, 2, 5, 6, 21, 22, 23)])
    assert found["time_pattern_risk"] == [0.0, 0.0, 0.8, 0.8, 0.0, 0.0, 0.4, 0.4]


def test_merchants_by_their_payments() -> None:
    found = payments(*[{"merchant_transaction_count_24hr": n} for n in (4, 5, 1000, 1001, None)])
    assert found["merchant_risk_score"] == [0.6, 0.1, 0.1, 0.3, 0.1]


def test_locations() -> None:
    found = payments(*[{"distinct_locations_24hr": n} for n in (3, 4, 5, 6, None)])
    assert found["location_change_risk"] == [0.0, 0.6, 0.6, 0.9, 0.0]


def test_mend_a_spike_is_measured_against_the_others() -> None:
    """No payment is twice a maximum that includes it, nor is 5 times the mean near when it dominates it."""
    alone, twice, among = (40.0,), (40.0, 60.0), (40.0, 50.0, 60.0, 45.0)
    found = payments(
        *[{**week(*others, amount), "amount": amount} for others, amount in ((alone, 80.0), (alone, 80.01))],
        *[{**week(*twice, amount), "amount": amount} for amount in (120.0, 120.01)],
        {**week(*among, 500.0), "amount": 500.0},
    )
    assert found["amount_spike_risk"] == [0.0, 1.0, 0.0, 1.0, 1.0]


def test_a_spike_that_is_known_to_be_one() -> None:
    """The largest other payment of many is not in the features; whoever knows it says so."""
    others = (30.0, 60.0) * 15
    held = {**week(*others, 250.0), "amount": 250.0}
    found = payments(held, {**held, "previous_max_transaction_amount_7d": 60.0})
    assert found["amount_spike_risk"] == [0.8, 1.0]


def test_five_times_the_mean() -> None:
    found = payments(
        *[
            {**week(10.0, 10.0, 200.0), "amount": a, "event_included": False}
            for a in (366.0, 367.0, 400.0, 401.0)
        ]
    )
    assert found["amount_spike_risk"] == [0.0, 0.8 if 367 > 5 * 220 / 3 else 0.0, 0.8, 1.0]


def test_a_payment_below_the_maximum_is_no_spike() -> None:
    found = payments({**week(10.0, 500.0, 60.0), "amount": 60.0})
    assert found["amount_spike_risk"] == [0.0]


amounts = st.lists(st.floats(1, 10_000).map(lambda a: round(a, 2)), min_size=1, max_size=12)


@given(others=amounts, amount=st.floats(1, 50_000).map(lambda a: round(a, 2)))
def test_a_spike_is_never_claimed_wrongly(others: list[float], amount: float) -> None:
    """Without the largest other payment the score is the true one or a lesser one, with it the true one."""
    held = {**week(*others, amount), "amount": amount}
    previous = {"previous_max_transaction_amount_7d": max(others)}
    found = payments(held, {**held, **previous}, {**week(*others), "amount": amount, "event_included": False})
    guessed, known, before = found["amount_spike_risk"]
    if abs(amount - 5 * statistics.fmean(others)) > 1e-6 * amount:
        assert known == before
    exact = 1.0 if amount > 2 * max(others) else 0.8 if amount > 5 * statistics.fmean(others) else 0.0
    if (
        abs(amount - 5 * statistics.fmean(others)) > 1e-6 * amount
        and abs(amount - 2 * max(others)) > 1e-6 * amount
    ):
        assert guessed <= exact
        assert known == exact
        if len(others) <= 2 and amount > max(others):
            assert guessed == exact


def test_the_composite_and_what_follows_from_it() -> None:
    worst = {
        **week(10.0, 500.0),
        "amount": 500.0,
        "transaction_count_1hr": 11,
        "event_time": NOON.replace(hour=3),
        "merchant_transaction_count_24hr": 1,
        "distinct_locations_24hr": 6,
    }
    found = payments(
        {**worst, "risk_score": 1.0}, {**worst, "risk_score": 0.7}, {**worst, "risk_score": 0.1}, {}
    )
    expected = [0.3 * r + 0.25 + 0.2 + 0.08 + 0.06 + 0.045 for r in (1.0, 0.7, 0.1)]
    assert found["composite_fraud_score"][:3] == pytest.approx(expected)
    assert found["composite_fraud_score"][3] == pytest.approx(0.01)
    assert found["fraud_probability"] == [0.95, 0.95, 0.75, 0.1]
    assert found["should_block_transaction"] == [True, False, False, False]
    assert found["requires_additional_auth"] == [False, True, True, False]


def test_the_zscore_is_of_the_others() -> None:
    found = payments({**week(10.0, 20.0, 90.0), "amount": 90.0})
    assert found["amount_zscore"] == [pytest.approx(75 / (statistics.stdev([10, 20]) + 0.001))]


def test_a_user_of_whom_nothing_is_known() -> None:
    unknown = {name: None for name in PAYMENT if "_hr" in name or name.endswith(("hr", "7d"))}
    found = payments({**unknown, "event_included": False, "risk_score": 0.5})
    assert found["composite_fraud_score"] == [pytest.approx(0.16)]
    assert math.isnan(found["amount_zscore"][0])
    assert payments(dict.fromkeys(PAYMENT))["composite_fraud_score"] == [pytest.approx(0.01)]
