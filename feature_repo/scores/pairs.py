"""Two sensors that move together: what their sums over a window say about a device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from feature_repo.scores.inputs import Bools, Floats, Inputs, table

SUMS = ("count", "sum_x", "sum_y", "sum_xx", "sum_yy", "sum_xy")


@dataclass(frozen=True)
class Pairs:
    """Sums over the pairs (x, y) of a window, a row each."""

    n: Floats
    x: Floats
    y: Floats
    xx: Floats
    yy: Floats
    xy: Floats

    @staticmethod
    def of(features: Inputs, window: str, sign: Floats | float = 1.0) -> Pairs:
        """From the features pair_<sum>_<window>; y is multiplied by `sign`. Null is nothing."""
        n, x, y, xx, yy, xy = table(features[f"pair_{name}_{window}"] for name in SUMS)
        return Pairs(n, x, y * sign, xx, yy, xy * sign)

    def without(self, x: Floats, y: Floats, which: Bools) -> Pairs:
        """Less one pair in the rows of `which`, where the sums hold it."""
        held = which & (self.n > 0) & np.isfinite(x) & np.isfinite(y)
        x, y = np.where(held, x, 0.0), np.where(held, y, 0.0)
        return Pairs(self.n - held, self.x - x, self.y - y, self.xx - x * x, self.yy - y * y, self.xy - x * y)

    @cached_property
    def means(self) -> tuple[Floats, Floats]:
        """Of x and of y; NaN for nothing."""
        return self.x / self._some, self.y / self._some

    @cached_property
    def variances(self) -> tuple[Floats, Floats]:
        """Of x and of y, of the population; NaN for nothing. What is rounding only is 0."""
        (x, y), n = self.means, self._some
        return _clean(self.xx / n - x * x), _clean(self.yy / n - y * y)

    @cached_property
    def gap(self) -> tuple[Floats, Floats]:
        """Mean and variance of x - y; NaN for nothing."""
        (x, y), n = self.means, self._some
        return x - y, _clean((self.xx - 2 * self.xy + self.yy) / n - (x - y) ** 2)

    @property
    def correlation(self) -> Floats:
        """|Pearson's r|; 1 where it is not defined: too few pairs, or a sensor that stands still."""
        spread_x, spread_y = self.n * self.xx - self.x**2, self.n * self.yy - self.y**2
        moves = (spread_x > 1e-12 * self.n**2) & (spread_y > 1e-12 * self.n**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.abs(self.n * self.xy - self.x * self.y) / np.sqrt(spread_x * spread_y)
        return np.where(moves, np.minimum(r, 1.0), 1.0)

    @cached_property
    def _some(self) -> Floats:
        return np.where(self.n > 0, self.n, np.nan)


def _clean(variance: Floats) -> Floats:
    return np.where(variance <= 1e-9, 0.0, variance)
