"""Statistics of an entity's other events: what its window says once the event that is judged is left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.scores.inputs import Bools, Floats


@dataclass(frozen=True)
class Sample:
    """Size, mean and sum of squared deviations, a row each; `mean` is NaN for a size of 0."""

    size: Floats
    mean: Floats
    squares: Floats

    @staticmethod
    def of(size: Floats, mean: Floats, std: Floats) -> Sample:
        """From a count, a mean and a sample standard deviation; null is nothing."""
        known = np.isfinite(mean) & (size > 0)
        spread = known & (size > 1) & np.isfinite(std)
        squares = np.where(spread, std**2 * (size - 1), 0.0)
        return Sample(np.where(known, size, 0.0), np.where(known, mean, np.nan), squares)

    def without(self, value: Floats, which: Bools) -> Sample:
        """The sample less `value` in the rows of `which`, where the sample holds it."""
        held = which & (self.size > 0) & np.isfinite(value)
        size = np.where(held, self.size - 1, self.size)
        value = np.where(held, value, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(held, (self.size * self.mean - value) / size, self.mean)
        squares = self.squares - np.where(held, (value - self.mean) * (value - mean), 0.0)
        empty = size <= 0
        return Sample(size, np.where(empty, np.nan, mean), np.where(size > 1, np.maximum(squares, 0.0), 0.0))

    @property
    def std(self) -> Floats:
        """Sample standard deviation; NaN below two values."""
        enough = self.size > 1
        return np.where(enough, np.sqrt(self.squares / np.where(enough, self.size - 1, 1.0)), np.nan)

    @property
    def largest(self) -> Floats:
        """What no value of the sample can exceed (Samuelson's inequality); exact for one value or two."""
        size = np.maximum(self.size, 1.0)
        return self.mean + np.sqrt(self.squares * (size - 1) / size)
