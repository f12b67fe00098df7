"""Claims and payments of one user in an hour."""

from __future__ import annotations

import math

import pytest
from score_rows import TOGETHER, score


def test_both_kinds_or_a_high_mean() -> None:
    found = score(
        "cross_event",
        {"claim_count_1hr": 1, "transaction_count_1hr": 11},
        {"claim_count_1hr": 1, "transaction_count_1hr": 10},
        {"transaction_count_1hr": 2, "sum_transaction_risk_1hr": 1.4},
        {
            "transaction_count_1hr": 1,
            "claim_count_1hr": 1,
            "sum_transaction_risk_1hr": 0.6,
            "sum_claim_risk_1hr": 0.9,
        },
    )
    assert found["cross_event_risk_score"] == [0.9, 0.1, 0.1, 0.8]
    assert found["total_events_1hr"] == [12, 11, 2, 2]
    assert found["avg_risk_1hr"] == pytest.approx([0.0, 0.0, 0.7, 0.75])


def test_the_higher_maximum_of_those_there_are() -> None:
    found = score(
        "cross_event",
        {"max_claim_risk_1hr": 0.2, "max_transaction_risk_1hr": 0.6},
        {"max_claim_risk_1hr": 0.2},
        dict.fromkeys(TOGETHER),
    )
    assert found["max_risk_1hr"][:2] == [0.6, 0.2]
    assert math.isnan(found["max_risk_1hr"][2])
    assert math.isnan(found["avg_risk_1hr"][2])
    assert found["cross_event_risk_score"] == [0.1] * 3
