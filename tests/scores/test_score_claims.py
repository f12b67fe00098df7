"""Scores of a claim, by hand."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from score_rows import CLAIM, NOON, score


def claims(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return score("claims", *rows)


def stats(*amounts: float) -> dict[str, Any]:
    """The features of a user with these claims in 24 h."""
    return {
        "claim_count_24hr": len(amounts),
        "avg_claim_amount_24hr": statistics.fmean(amounts),
        "stddev_claim_amount_24hr": statistics.stdev(amounts) if len(amounts) > 1 else None,
    }


def test_frequency_has_three_steps() -> None:
    found = claims(*[{"claim_count_24hr": n} for n in (1, 2, 3, 4)])
    assert found["claim_frequency_score"] == [0.1, 0.6, 0.6, 1.0]


def test_velocity_looks_at_an_hour_then_at_six() -> None:
    found = claims(
        {"claim_count_1hr": 2, "claim_count_6hr": 2},
        {"claim_count_1hr": 1, "claim_count_6hr": 3},
        {"claim_count_1hr": 1, "claim_count_6hr": 2},
    )
    assert found["claim_velocity_risk"] == [1.0, 0.8, 0.0]


def test_mend_the_zscore_leaves_the_claim_itself_out() -> None:
    """With itself, |z| of n claims is at most (n - 1) / sqrt(n): three claims could never reach 2."""
    found = claims({**stats(100.0, 120.0, 5_000.0), "claim_amount": 5_000.0})
    assert found["claim_amount_zscore"] == [
        pytest.approx((5_000 - 110) / (statistics.stdev([100, 120]) + 0.001))
    ]
    assert found["amount_deviation_risk"] == [1.0]


def test_deviation_has_bounds_at_two_and_three() -> None:
    def reaching(z: float) -> dict[str, Any]:
        amount = 100 + z * (statistics.stdev([90, 110]) + 0.001)
        return {**stats(90.0, 110.0), "claim_amount": amount, "event_included": False}

    found = claims(*[reaching(z) for z in (1.999, 2.001, 2.999, 3.001, -3.001)])
    assert found["amount_deviation_risk"] == [0.0, 0.7, 0.7, 1.0, 1.0]


def test_one_other_claim_is_no_scale() -> None:
    found = claims({**stats(100.0, 900.0), "claim_amount": 900.0})
    assert math.isnan(found["claim_amount_zscore"][0])
    assert found["amount_deviation_risk"] == [0.0]


def test_equal_claims_leave_a_thousandth_as_scale() -> None:
    found = claims({**stats(100.0, 100.0, 100.0), "claim_amount": 100.0})
    assert found["claim_amount_zscore"] == [pytest.approx(0.0, abs=1e-6)]


def test_the_composite_and_its_shares() -> None:
    row = {"risk_score": 0.5, "claim_count_24hr": 2, "claim_count_1hr": 2}
    found = claims(row)
    assert found["composite_risk_score"] == [pytest.approx(0.4 * 0.5 + 0.2 * 0.6 + 0.2 * 1.0)]
    assert found["risk_score_share"] == [pytest.approx(0.2 / 0.52)]
    assert found["claim_frequency_score_share"] == [pytest.approx(0.12 / 0.52)]
    assert found["amount_deviation_risk_share"] == [0.0]


def test_mend_every_tier_can_be_reached() -> None:
    """High began at the greatest possible score; the thresholds are the tiers' upper ends."""
    # 0.4 * risk + 0.02 of the frequency, and 0.2 more with velocity.
    found = claims(
        {"risk_score": 0.699},
        {"risk_score": 0.701},
        {"risk_score": 0.99, "claim_count_1hr": 2, "claim_count_24hr": 2},
        {"risk_score": 1.0, "claim_count_1hr": 2, "claim_count_24hr": 2},
    )
    assert found["risk_category"] == ["low", "medium", "high", "high"]
    lower = claims({"risk_score": 0.949, "claim_count_1hr": 2, "claim_count_24hr": 2})
    assert lower["risk_category"] == ["medium"]


def test_review_is_for_scores_amounts_and_numbers() -> None:
    found = claims(
        {"claim_amount": 50_000.0},
        {"claim_amount": 50_001.0},
        {"claim_count_24hr": 2},
        {"claim_count_24hr": 3},
    )
    assert found["requires_manual_review"] == [False, True, False, True]


@pytest.mark.parametrize(("hour", "night"), [(6, True), (7, False), (21, False), (22, True), (0, True)])
def test_mend_night_is_from_22_to_6(hour: int, night: bool) -> None:
    found = claims({"event_time": NOON.replace(hour=hour, minute=59)})
    assert found["is_night_claim"] == [night]


def test_weekend_is_saturday_and_sunday_in_utc() -> None:
    days = [NOON + timedelta(days=n) for n in range(7)]
    assert claims(*[{"event_time": day} for day in days])["is_weekend_claim"] == [
        day.weekday() >= 5 for day in days
    ]


def test_mend_time_since_the_last_claim_is_since_an_earlier_one() -> None:
    earlier = NOON - timedelta(hours=3)
    found = claims(
        {"last_claim_timestamp": earlier, "event_included": False},
        {"previous_last_claim_timestamp": earlier},
        {"last_claim_timestamp": NOON},
        {"last_claim_timestamp": NOON + timedelta(hours=1), "event_included": False},
    )["time_since_last_claim_hours"]
    assert found[:2] == [3.0, 3.0]
    assert math.isnan(found[2]), "the last claim is this one, and nobody knows the one before"
    assert math.isnan(found[3]), "a claim that came late"


def test_a_user_of_whom_nothing_is_known() -> None:
    unknown = dict.fromkeys([name for name in CLAIM if "24hr" in name or "hr" in name])
    nothing = {**unknown, "last_claim_timestamp": None, "event_included": False, "risk_score": 0.5}
    found = claims(nothing)
    assert found["composite_risk_score"] == [pytest.approx(0.22)]
    assert found["risk_category"] == ["low"]
    assert math.isnan(found["claim_amount_zscore"][0])


def test_an_event_without_any_field() -> None:
    found = claims(dict.fromkeys(CLAIM))
    assert found["composite_risk_score"] == [pytest.approx(0.02)]
    assert found["is_night_claim"] == [False]
    assert found["requires_manual_review"] == [False]


@pytest.mark.parametrize("others", [(), (100.0,), (100.0, 130.0), (100.0, 130.0, 90.0, 4_000.0)])
def test_before_or_after_the_claim_is_counted_the_score_is_the_same(others: tuple[float, ...]) -> None:
    """event_included says which features these are."""
    earlier = NOON - timedelta(hours=2) if others else None
    amounts = [*others, 2_500.0]
    at = datetime(2026, 3, 7, 23, tzinfo=UTC)
    before = {"claim_count_1hr": 0, "claim_count_6hr": len(others), "last_claim_timestamp": earlier}
    before |= stats(*others) if others else {**dict.fromkeys(stats(1.0)), "claim_count_24hr": 0}
    after = {"claim_count_1hr": 1, "claim_count_6hr": len(amounts), "last_claim_timestamp": at}
    after |= {**stats(*amounts), "previous_last_claim_timestamp": earlier}
    same = {"claim_amount": 2_500.0, "risk_score": 0.3, "event_time": at}
    found = claims({**before, **same, "event_included": False}, {**after, **same})
    for name, (first, second) in found.items():
        assert (
            first == pytest.approx(second, nan_ok=True, rel=1e-9)
            if isinstance(first, float)
            else first == second
        ), name
