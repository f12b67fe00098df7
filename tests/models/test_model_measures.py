"""Measures against sklearn, and against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from training.models import measures

ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 4)), min_size=2, max_size=30
).filter(lambda rows: len({label for label, _, _ in rows}) == 2)


def columns(rows):
    label, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    return label.astype(bool), score / 5, weight.astype(float)


@settings(max_examples=60)
@given(ROWS)
def test_a_weight_is_as_many_rows(rows):
    label, score, weight = columns(rows)
    many = [np.repeat(column, weight.astype(int)) for column in (label, score)]
    a = measures.measure(label, score, weight, 0.3)
    b = measures.measure(*many, np.ones(len(many[0])), 0.3)
    for name in ("rate", "pr_auc", "recall", "precision", "threshold", "brier", "calibration_error"):
        assert getattr(a, name) == pytest.approx(getattr(b, name)), name
    assert a.pr_auc == pytest.approx(average_precision_score(*many))
    ranking = measures._Ranking(label, score)
    assert ranking.pr_auc(weight) == pytest.approx(a.pr_auc)


def test_alerts_are_shared_among_ties():
    # Two alerts of eight: 0.9 is one, and the other is one of three that tie.
    score = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1])
    label = np.array([True, True, False, False, True, False, False, False])
    recall, precision, threshold = measures.alerts(label, score, np.ones(8), 0.25)
    assert recall == pytest.approx((1 + 1 / 3) / 3)
    assert precision == pytest.approx((1 + 1 / 3) / 2)
    assert threshold == 0.5


def test_nulls_of_a_score_rank_lowest():
    label = np.array([True, False, True, False])
    found = measures.measure(label, np.array([0.9, 0.2, np.nan, np.nan]), np.ones(4), 0.5, probability=False)
    assert found.pr_auc == pytest.approx(average_precision_score(label, [3, 2, 1, 1]))
    assert found.brier is None


def test_calibration_bins():
    label = np.array([False, True, False, True])
    bins = measures.calibration(
        label, np.array([0.05, 0.05, 0.6, 1.0]), np.array([3.0, 1, 1, 1]), (0, 0.1, 0.5, 1)
    )
    assert [(b.share, b.predicted, b.true) for b in bins] == [
        (pytest.approx(4 / 6), pytest.approx(0.05), 0.25),
        (0, None, None),
        (pytest.approx(2 / 6), pytest.approx(0.8), 0.5),
    ]


def test_ahead_counts_entities_not_rows():
    rng = np.random.default_rng(0)
    entity = np.repeat(np.arange(40), 25)
    label = entity < 4
    good, bad = label + rng.normal(0, 0.5, 1000), rng.normal(0, 1, 1000)
    found = measures.ahead(label, good, bad, np.ones(1000), entity)
    assert found.certainty > 0.9
    assert 0 < found.low < found.median < found.high
    alone = measures.ahead(label, good, bad, np.ones(1000), np.arange(1000))
    assert alone.high - alone.low < found.high - found.low
    same = measures.ahead(label, good, good, np.ones(1000), entity)
    assert (same.low, same.high, same.certainty) == (0, 0, 0)


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_psi_of_the_same_is_nothing_and_of_another_is_more(values):
    probability = np.array(values)
    spread = measures.histogram(probability, np.ones(len(values)))
    assert sum(spread.shares) == pytest.approx(1)
    counts = np.array(spread.shares) * len(values)
    assert measures.psi(spread, counts) == pytest.approx(0, abs=1e-9)
    assert measures.psi(spread, np.zeros(len(counts))) is None
    if len(counts) > 1:
        assert measures.psi(spread, np.eye(len(counts))[0] * 1000) > 0
