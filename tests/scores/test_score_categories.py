"""Bounds of what is made of a composite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feature_repo.scores import categories


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (categories.risk_category, {0.299: "low", 0.3: "medium", 0.699: "medium", 0.7: "high", 1.0: "high"}),
        (
            categories.fraud_probability,
            {0.4: 0.1, 0.401: 0.45, 0.6: 0.45, 0.601: 0.75, 0.8: 0.75, 0.801: 0.95},
        ),
        (categories.should_block_transaction, {0.85: False, 0.851: True}),
        (categories.requires_additional_auth, {0.6: False, 0.601: True, 0.85: True, 0.851: False}),
        (
            categories.alert_level,
            {0.3: "low", 0.301: "medium", 0.6: "medium", 0.601: "high", 0.8: "high", 0.801: "critical"},
        ),
        (categories.predicted_failure_hours, {0.5: 8760, 0.501: 168, 0.7: 168, 0.701: 24, 0.9: 24, 0.901: 2}),
        (categories.alert_severity, {0.9: "high", 0.901: "critical"}),
    ],
)
def test_bounds(function: Any, expected: dict[float, Any]) -> None:
    assert list(function(np.array(list(expected)))) == list(expected.values())


def test_attention_by_criticality() -> None:
    composite = np.array([0.5, 0.501, 0.501, 0.8, 0.801])
    criticality = np.array(["critical", "critical", "high", "high", None], object)
    found = categories.requires_immediate_attention(composite, criticality)
    assert list(found) == [False, True, False, False, True]


def test_an_alert_is_for_a_score_or_a_decision() -> None:
    composite, no = np.array([0.8, 0.801, 0.1]), np.zeros(3, bool)
    assert list(categories.alerts(composite, no)) == [False, True, False]
    assert list(categories.alerts(composite, no, np.array([False, False, True]))) == [False, True, True]
