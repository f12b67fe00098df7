"""Sums of ranges against exact fractions, whatever was added before."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.history.extremes import Ranges
from streaming.history.sums import Prefix, Runs, squared_deviations, two_product_error

sizes = st.sampled_from([1e16, 3.01, 638.01, 1e8, 1e8 + 1, 1e-9, 6.1e-5, 0.0, 1e90, 1e-100])
numbers = st.lists(
    st.builds(lambda a, b: a * b, sizes, st.sampled_from([1, -1, 1.1])), min_size=1, max_size=12
)


@settings(max_examples=150)
@given(numbers)
def test_a_range_is_as_exact_as_if_it_were_summed_alone(values):
    x = np.array(values)
    square = x * x
    error = two_product_error(x, x, square)
    low, high = np.triu_indices(len(x) + 1, 1)
    sums = Prefix.of(x, relative=1e-23).between(low, high)
    squares = Prefix.of(square, error, relative=1e-23).between(low, high)
    found = squared_deviations(high - low, sums, squares)
    for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        exact = [Fraction(value) for value in values[a:b]]
        largest = max(map(abs, exact))
        total = Fraction(float(sums[0][i])) + Fraction(float(sums[1][i]))
        assert abs(total - sum(exact)) <= Fraction(1e-22) * largest
        mean = sum(exact) / len(exact)
        deviations = sum((value - mean) ** 2 for value in exact)
        assert (
            abs(Fraction(float(found[i])) - deviations)
            <= Fraction(1e-12) * deviations + Fraction(1e-21) * largest**2
        )


@given(st.lists(st.sampled_from([None, 0.1, 0.1, 7.0, (0.2, 2, 0.0), (0.3, 2, 0.5)]), max_size=10))
def test_ranges_of_one_value(values):
    rows = [(0.0, 0, 0.0) if v is None else v if isinstance(v, tuple) else (v, 1, 0.0) for v in values]
    total, n, m2 = (np.array([row[i] for row in rows], float) for i in range(3))
    low, high = np.triu_indices(len(rows) + 1, 0)
    found = Runs.of(total, n, m2).equal(low, high)
    for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        held = [row for row in rows[a:b] if row[1]]
        one = len({sum_ / count for sum_, count, _ in held}) <= 1 and not any(row[2] for row in held)
        assert found[i] == one


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=40))
def test_smallest_and_largest_of_every_range(values):
    x = np.array(values)
    low, high = np.triu_indices(len(x) + 1, 0)
    found = Ranges(low, high).best({"min": (np.fmin, x), "max": (np.fmax, x)}, {"min": np.nan, "max": np.nan})
    for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        held = [value for value in values[a:b] if value == value]
        for name, of in (("min", min), ("max", max)):
            assert found[name][i] == of(held) if held else np.isnan(found[name][i])
