"""Columns as arrays, whoever hands them over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Inputs = Mapping[str, Any]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Texts = NDArray[np.object_]


def numbers(values: Any) -> Floats:
    """float64; null and whatever is not finite are NaN."""
    return _finite(values, np.nan)


def counts(values: Any) -> Floats:
    """Numbers where null is 0: nothing is known to have happened."""
    return _finite(values, 0.0)


def table(columns: Iterable[Any]) -> Floats:
    """`counts` of several columns, a row each."""
    return counts(np.array([_floats(values) for values in columns]))


def flags(values: Any) -> Bools:
    """Truth values where null is false."""
    array = _array(values)
    return array if array.dtype.kind == "b" else counts(array) != 0


def texts(values: Any) -> Texts:
    """Objects as they are."""
    return _array(values).astype(object)


def moments(values: Any) -> Floats:
    """Seconds since the epoch. Datetimes (UTC unless they say otherwise) and ISO texts are taken as
    such, numbers as milliseconds since the epoch."""
    array = _array(values)
    if array.dtype.kind in "iuf":
        return numbers(array) / 1000
    if array.dtype.kind == "M":
        return np.where(np.isnat(array), np.nan, array.astype("M8[us]").astype(np.int64) / 1e6)
    return np.array([_seconds(value) for value in array], np.float64)


def _seconds(value: Any) -> float:
    if pd.isna(value):
        return np.nan
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value).to_pydatetime()
    if isinstance(value, date):
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return value.timestamp() if isinstance(value, datetime) else np.nan
    return float(value) / 1000


def hours(seconds: Floats) -> Floats:
    """Hour of the day in UTC, 0 to 23; NaN for null."""
    return np.floor(seconds / 3600) % 24


def weekend(seconds: Floats) -> Bools:
    """Whether the UTC day is a Saturday or a Sunday."""
    day = np.floor(seconds / 86_400) % 7
    return (day == 2) | (day == 3)


def select(default: Any, *cases: tuple[Bools, Any]) -> Any:
    """The value of the first case that holds, as in SQL's CASE."""
    for case, value in reversed(cases):
        default = np.where(case, value, default)
    return default


def above(values: Floats, otherwise: float, *steps: tuple[float, float]) -> Floats:
    """The score of the first (bound, score) whose bound `values` exceed; null gets `otherwise`."""
    return select(otherwise, *[(values > bound, score) for bound, score in steps])


def _finite(values: Any, otherwise: float) -> Floats:
    array = _floats(values)
    return np.where(np.isfinite(array), array, otherwise)


def _floats(values: Any) -> Floats:
    array = _array(values)
    if array.dtype.kind not in "biuf":
        array = np.array([np.nan if pd.isna(value) else float(value) for value in array], np.float64)
    return array.astype(np.float64, copy=False)


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    convert: Callable[..., Any] | None = getattr(values, "to_numpy", None)
    if convert is None:
        return _listed(list(values))
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    return np.asarray(convert())


def _listed(values: list[Any]) -> NDArray[Any]:
    if values and all(type(value) in (int, float, bool) for value in values):
        return np.array(values)
    array = np.empty(len(values), object)
    array[:] = values
    return array
