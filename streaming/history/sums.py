"""Sums of ranges from prefix sums that lose nothing to what lies outside the range.

A running sum in float64 forgets small values once a large one was added: after 1e16 a 3.01 is gone. The
rounding error of every single addition is itself a float64 and can be had exactly (Knuth's two-sum), so the
errors are summed beside the sums, their errors beside those, until what is left cannot matter. That is as good as
starting anew at every entity, and as fast as a few passes over the column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EPS = 2.0**-53
SPLITTER = float(2**27 + 1)
LARGE, SMALL = 1e100, 1e-140
"""Beyond these a square or a sum of squares may leave float64; such values are not summed this way."""


@dataclass(frozen=True)
class Prefix:
    """Prefix sums of a column; `levels[0][i]` is about the sum of the first i rows, later levels its errors."""

    levels: tuple[np.ndarray, ...]

    @staticmethod
    def of(values: np.ndarray, errors: np.ndarray | None = None, *, relative: float) -> Prefix:
        """Of finite `values`, to `relative` of the smallest of them; `errors` are further, smaller addends."""
        levels, addends, count = [], values, len(values)
        size = np.abs(values)
        present = size[size > 0]
        wanted = relative * float(present.min()) if len(present) else 0.0
        while True:
            level = np.empty(count + 1)
            level[0] = 0.0
            np.cumsum(addends, out=level[1:])
            levels.append(level)
            if not len(present):
                break
            lost = two_sum_error(level[:-1], addends, level[1:])
            if errors is not None:
                both = lost + errors
                errors = two_sum_error(lost, errors, both)
                errors = errors if errors.any() else None
                lost = both
            left = float(np.abs(lost).max(initial=0.0))
            if left * count <= wanted:
                break
            addends = lost
        return Prefix(tuple(levels))

    def between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the rows from `low` to before `high` as an unevaluated sum of a number and its error."""
        total, error = np.zeros(len(low)), np.zeros(len(low))
        for number, level in enumerate(self.levels):
            a, b = level[high], level[low]
            part = a - b
            error += two_sum_error(a, -b, part)
            if number == 0:
                total = part
                continue
            joined = total + part
            error += two_sum_error(total, part, joined)
            total = joined
        joined = total + error
        return joined, error - (joined - total)


@dataclass(frozen=True)
class Runs:
    """Which ranges of rows hold one and the same value; the squared deviations of those are 0, not what rounding leaves."""

    following: np.ndarray
    changes: np.ndarray
    spread: np.ndarray

    @staticmethod
    def of(total: np.ndarray, n: np.ndarray, deviations: np.ndarray) -> Runs:
        """Of rows that are `n` values with a sum and a sum of squared deviations; rows without a value do not matter."""
        count = len(n)
        present = np.flatnonzero(n > 0)
        mean = total[present] / n[present]
        following = np.full(count + 1, count)
        following[present] = present
        following = np.minimum.accumulate(following[::-1])[::-1]
        changes, spread = np.zeros(count + 2, np.int64), np.zeros(count + 1, np.int64)
        changes[present[1:] + 1] = mean[1:] != mean[:-1]
        np.cumsum(deviations > 0, out=spread[1:])
        return Runs(following, np.cumsum(changes), spread)

    def equal(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Whether all values of the rows from `low` to before `high` are the same."""
        first = np.minimum(self.following[low] + 1, high)
        return (self.changes[high] == self.changes[first]) & (self.spread[high] == self.spread[low])


def two_sum_error(a: np.ndarray, b: np.ndarray, total: np.ndarray) -> np.ndarray:
    """What `total`, the rounded sum of `a` and `b`, lacks; exact."""
    c = total - a
    error = total - c
    np.subtract(a, error, out=error)
    np.subtract(b, c, out=c)
    error += c
    return error


def two_product_error(a: np.ndarray, b: np.ndarray, product: np.ndarray) -> np.ndarray:
    """What `product`, the rounded product of `a` and `b`, lacks; exact within LARGE and SMALL."""
    high_a, low_a = _split(a)
    high_b, low_b = (high_a, low_a) if b is a else _split(b)
    error = high_a * high_b
    error -= product
    error += high_a * low_b
    error += low_a * high_b
    low = low_a * low_b
    error += low
    return error


def _split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """High and low half of the digits of each number (Dekker)."""
    scaled = a * SPLITTER
    high = scaled - (scaled - a)
    return high, a - high


def squared_deviations(
    n: np.ndarray, total: tuple[np.ndarray, np.ndarray], squares: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Sum of squared deviations from the mean, from sums and sums of squares of twice float64's digits.

    `squares - total^2 / n` cancels nearly everything for a mean far above the deviation; with 32 digits a
    mean of ten million deviations leaves the 1e-9 that is asked for.
    """
    count = np.maximum(n, 1).astype(np.float64)
    high, low = total
    square = high * high
    lost = two_product_error(high, high, square)
    lost += 2.0 * high * low
    share = square / count
    back = share * count
    rest = square - back
    rest -= two_product_error(share, count, back)
    rest += lost
    rest /= count
    result = squares[0] - share
    result += squares[1] - rest
    return np.maximum(result, 0.0, out=result)
