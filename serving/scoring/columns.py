"""Values on their way into a formula, as Feast hands them to an on-demand view, and out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from serving.response import Column
from streaming.columns import filled, valid

FLOATS = frozenset({"DOUBLE", "FLOAT"})


def shown(column: Column) -> np.ndarray:
    """A feature's values for a formula: NaN, None or NaT where null; timestamps to the second."""
    values, known = column.values, column.valid
    if column.dtype == "UNIX_TIMESTAMP":
        return _moments(values, known)
    if column.dtype == "STRING":
        pairs = zip(values.tolist(), known.tolist(), strict=True)
        return _objects([v.decode(errors="replace") if ok and v is not None else None for v, ok in pairs])
    if known.all():
        return values
    null: Any = None if column.dtype == "BOOL" else np.nan
    return np.where(known, values, null)


def parsed(column: pa.Array) -> np.ndarray:
    """A field of the events, as Spark parsed it, for a formula."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _moments(np.floor_divide(filled(column.view(pa.int64())), 1_000_000), valid(column))
    if pa.types.is_map(kind):
        return _objects(_dicts(column))
    if not column.null_count and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return column.to_numpy()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return _objects(column.to_pylist())


def moments(millis: np.ndarray) -> np.ndarray:
    """Times in ms for a formula, to the second."""
    return np.floor_divide(millis, 1000).astype("M8[s]").astype("M8[ns]")


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


def plains(dtypes: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`plain` of several outputs of one length, in the order of `dtypes`."""
    floats = [name for name, dtype in dtypes.items() if dtype in FLOATS]
    table = dict(zip(floats, _finite(np.array([values[name] for name in floats], np.float64)), strict=True))
    return {
        name: table[name] if name in table else plain(dtype, values[name]) for name, dtype in dtypes.items()
    }


def plain(dtype: str, values: Any) -> list[Any]:
    """An output of Feast type `dtype` as JSON values; null for what is not there or not finite."""
    array = np.asarray(values)
    if dtype in FLOATS:
        return _finite(array.astype(np.float64, copy=False))
    if array.dtype.kind in "bui":
        return (array != 0 if dtype == "BOOL" else array).tolist()
    held = array.astype(object, copy=False)
    values, kind = held.tolist(), _KINDS.get(dtype, str)
    if {*map(type, values)} <= {kind}:
        return values
    return [None if missing else kind(v) for v, missing in zip(values, _missing(held), strict=True)]


def _finite(floats: np.ndarray) -> list[Any]:
    finite, null = np.isfinite(floats), cast("Any", None)
    return (floats if finite.all() else np.where(finite, floats, null)).tolist()


_KINDS = {"BOOL": bool, "INT64": int, "INT32": int, "STRING": str}


def _missing(values: np.ndarray) -> Sequence[bool]:
    return np.asarray(pd.isna(values), bool).tolist()


def _moments(seconds: np.ndarray, known: np.ndarray) -> np.ndarray:
    held = np.where(known, seconds, 0).astype("M8[s]").astype("M8[ns]")
    held[~known] = np.datetime64("NaT")
    return held


def _dicts(column: pa.MapArray) -> list[dict[str, Any] | None]:
    """Maps as dicts; the keys and values of all of them become Python objects together."""
    ends = column.offsets.to_pylist()
    names, items = column.keys.to_pylist(), column.items.to_pylist()
    spans = zip(ends, ends[1:], valid(column).tolist(), strict=False)
    return [dict(zip(names[a:b], items[a:b], strict=True)) if ok else None for a, b, ok in spans]


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array
