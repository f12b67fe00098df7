"""The inputs of a formula by name: nulls and missing columns become the stated default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_repo.scores.inputs import Bools, Floats, Texts, numbers, select, texts
from streaming.errors import TidemarkError


class InputError(TidemarkError):
    """An input that no formula can take."""


class Columns:
    """Columns of `inputs`, all of one length. Raises InputError for a value of the wrong type."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self.rows = len(next(iter(inputs.values()))) if len(inputs) else 0

    def number(self, name: str, default: float = 0.0) -> Floats:
        """float64 without NaN."""
        values = self.known(name)
        return np.where(np.isnan(values), default, values)

    def known(self, name: str) -> Floats:
        """float64; NaN where it is null or there is no such column."""
        if name not in self._inputs:
            return np.full(self.rows, np.nan)
        try:
            return numbers(self._inputs[name])
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} holds a value that is no number ({error}): give numbers") from error

    def flag(self, name: str, default: bool = False) -> Bools:
        return self.number(name, float(default)) != 0

    def text(self, name: str, default: str) -> Texts:
        if name not in self._inputs:
            return np.full(self.rows, default, object)
        values = texts(self._inputs[name])
        return np.array([default if value is None or value != value else value for value in values], object)


def tier(scores: Floats, *steps: tuple[float, str]) -> Texts:
    """The name of the first (bound, name) that a score does not exceed; above all bounds the last name.

    The lowest step holds its lower end too, so that no score is without a name.
    """
    *upper, (_, last) = steps
    return select(last, *[(scores <= bound, name) for bound, name in upper]).astype(object)


def reasons(rows: int, *rules: tuple[Bools, str], none: str = "") -> Texts:
    """The names of the rules that hold, joined by `;`; `none` where none does."""
    found = [";".join(name for holds, name in rules if holds[row]) or none for row in range(rows)]
    return np.array(found, object)


def lists(outputs: Mapping[str, Any], decimals: int | None = None) -> dict[str, list[Any]]:
    """Arrays as lists of Python's own types, floats rounded if wanted."""
    made: dict[str, list[Any]] = {}
    for name, values in outputs.items():
        rounded = np.round(values, decimals) if decimals is not None and values.dtype.kind == "f" else values
        made[name] = rounded.tolist()
    return made
