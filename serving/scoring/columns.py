"""Values on their way into a formula, as Feast hands them to an on-demand view, and out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from serving.response import Column


def shown(column: Column) -> np.ndarray:
    """A feature's values for a formula: NaN, None or NaT where null; timestamps to the second."""
    values, valid = column.values, column.valid
    if column.dtype == "UNIX_TIMESTAMP":
        return _moments(values, valid)
    if column.dtype == "STRING":
        pairs = zip(values.tolist(), valid.tolist(), strict=True)
        return _objects([v.decode(errors="replace") if ok and v is not None else None for v, ok in pairs])
    if valid.all():
        return values
    if column.dtype == "BOOL":
        return _objects([v if ok else None for v, ok in zip(values.tolist(), valid.tolist(), strict=True)])
    return np.where(valid, values, np.nan)


def parsed(column: pa.Array) -> np.ndarray:
    """A field of the events, as Spark parsed it, for a formula."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        micros = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return _moments(np.floor_divide(micros, 1_000_000), column.is_valid().to_numpy(zero_copy_only=False))
    if pa.types.is_map(kind):
        return _objects([None if value is None else dict(value) for value in column.to_pylist()])
    if not column.null_count and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return column.to_numpy()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return _objects(column.to_pylist())


def moments(millis: np.ndarray) -> np.ndarray:
    """Times in ms for a formula, to the second."""
    return _moments(np.floor_divide(millis, 1000), np.ones(len(millis), bool))


def frame(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """What Feast gives a formula: times are in UTC."""
    held = {
        name: pd.DatetimeIndex(column, tz="UTC") if column.dtype.kind == "M" else column
        for name, column in columns.items()
    }
    return pd.DataFrame(held, copy=False)


def numbers(values: Any) -> np.ndarray:
    """An output as float64, NaN where it is null."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "bif":
        return values.astype(np.float64)
    return np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), np.float64)


def plain(dtype: str, values: Any) -> list[Any]:
    """An output of Feast type `dtype` as JSON values; null for what is not there or not finite."""
    array = np.asarray(values)
    if dtype in ("DOUBLE", "FLOAT"):
        floats = array.astype(np.float64)
        finite = np.isfinite(floats)
        if finite.all():
            return floats.tolist()
        return [v if ok else None for v, ok in zip(floats.tolist(), finite.tolist(), strict=True)]
    if array.dtype.kind in "bui":
        return (array != 0 if dtype == "BOOL" else array).tolist()
    held = array.astype(object)
    cast = {"BOOL": bool, "INT64": int, "INT32": int, "STRING": str}.get(dtype, str)
    return [None if missing else cast(v) for v, missing in zip(held.tolist(), _missing(held), strict=True)]


def _missing(values: np.ndarray) -> Sequence[bool]:
    return np.asarray(pd.isna(values), bool).tolist()


def _moments(seconds: np.ndarray, valid: np.ndarray) -> np.ndarray:
    held = np.where(valid, seconds, 0).astype("M8[s]").astype("M8[ns]")
    if not valid.all():
        held[~valid] = np.datetime64("NaT")
    return held


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array
