"""Buckets against numpy on the values themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.history.distribution import SMOOTHING, Distribution, bounds, psi

numbers = st.one_of(
    st.floats(-1e12, 1e12),
    st.integers(-50, 50).map(float),
    st.sampled_from([0.0, -0.0, 1e-300, -1e300]),
)
NORMAL = float(np.finfo(np.float64).tiny)
"""Closer to 0 numbers have fewer digits."""
samples = st.lists(numbers, min_size=1, max_size=80).map(np.array)


@given(samples, st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), max_size=3))
def test_counts_and_order(values: np.ndarray, nulls: list[float]) -> None:
    held = Distribution.of(np.append(values, nulls))
    assert (held.rows, held.nulls, held.count.sum()) == (len(values) + len(nulls), len(nulls), len(values))
    assert (np.diff(held.bucket) > 0).all()
    assert (held.low[1:] > held.high[:-1]).all(), "buckets do not overlap"
    assert (held.high - held.low <= np.abs(held.high).clip(np.abs(held.low)).clip(NORMAL) / 64).all()
    assert (bounds(held.bucket) <= held.low).all() or (held.low < 0).any()


@given(samples, st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 1.0]))
def test_a_quantile_is_within_a_bucket_of_its_rank(values: np.ndarray, share: float) -> None:
    got = Distribution.of(values).quantile(share)
    below, above = (float(np.quantile(values, share, method=m)) for m in ("lower", "higher"))
    assert got is not None
    assert below - max(abs(below), NORMAL) / 64 <= got <= above + max(abs(above), NORMAL) / 64
    if share in (0.0, 1.0) or len(set(values.tolist())) == 1:
        assert got == (below if share == 0 else above)


@given(st.lists(samples, max_size=4))
def test_parts_add_up_to_the_whole(parts: list[np.ndarray]) -> None:
    merged = Distribution.merged(map(Distribution.of, parts))
    whole = Distribution.of(np.concatenate(parts) if parts else np.zeros(0))
    for name in ("bucket", "count", "low", "high"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


@given(samples)
def test_bins_hold_every_value_once(values: np.ndarray) -> None:
    held = Distribution.of(values)
    counts = held.histogram(held.cuts())
    assert counts.sum() == len(values)
    assert len(counts) <= 10
    assert (counts > 0).all()


def test_bins_of_many_values_are_even() -> None:
    held = Distribution.of(np.random.default_rng(1).lognormal(3, 2, 100_000))
    assert np.abs(held.histogram(held.cuts()) / 10_000 - 1).max() < 0.05


def test_negative_values_lie_in_their_bins() -> None:
    held = Distribution.of(np.arange(-500, 500) / 7)
    edges = bounds(held.cuts())
    counted = np.histogram(np.arange(-500, 500) / 7, [-np.inf, *edges, np.inf])[0]
    assert np.abs(counted - held.histogram(held.cuts())).max() <= 1, "an edge itself may be on either side"


def test_the_index_of_two_known_samples() -> None:
    """Half zeros, half ones against a quarter and three quarters, and a tenth of nulls against none."""
    one = Distribution.of(np.repeat([0.0, 1.0], 500))
    other = Distribution.of(np.repeat([0.0, 1.0, np.nan], [225, 675, 100]))
    total = 1000 + 3 * SMOOTHING
    shares = [((500.5, 225.5)), (500.5, 675.5), (0.5, 100.5)]
    want = sum((b - a) / total * math.log(b / a) for a, b in shares)
    assert psi(one, other, one.cuts()) == pytest.approx(want, rel=1e-12)
    assert psi(one, one, one.cuts()) == 0
    assert psi(Distribution.of(np.zeros(0)), one, one.cuts()) is None
    assert one.quantile(0.4) == 0
    assert Distribution.of(np.array([math.nan])).quantile(0.5) is None
