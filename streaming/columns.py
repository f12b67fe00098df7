"""Arrow columns as numpy arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streaming.parts import I64, TEXT, Values


def filled(column: pa.Array, null: int = 0) -> np.ndarray:
    """The values, with `null` where there is none; without a copy where every row has one."""
    return (column.fill_null(null) if column.null_count else column).to_numpy(zero_copy_only=False)


def numbers(column: pa.Array, null: int = 0) -> np.ndarray:
    """`filled`, as int64."""
    return filled(column, null).astype(I64, copy=False)


def valid(column: pa.Array) -> np.ndarray:
    """Which rows have a value."""
    if not column.null_count:
        return np.ones(len(column), bool)
    return column.is_valid().to_numpy(zero_copy_only=False)


def values(column: pa.Array) -> Values:
    """A column of events: texts as bytes, and numbers."""
    known = valid(column)
    if not pa.types.is_string(column.type):
        return Values(filled(column), known)
    data = np.empty(len(column), TEXT)
    data[:] = column.cast(pa.binary()).to_pylist()
    return Values(data, known)
