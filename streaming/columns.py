"""Arrow columns as numpy arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streaming.parts import I64, TEXT, Values


def filled(column: pa.Array, null: int = 0) -> np.ndarray:
    """The values, with `null` where there is none; without a copy where every row has one."""
    if not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return column.fill_null(null).to_numpy(zero_copy_only=False)
    # As fill_null does, in less time for a short column.
    kind = np.dtype(column.type.to_pandas_dtype())
    held = np.frombuffer(column.buffers()[1], kind)[column.offset : column.offset + len(column)]
    return np.where(valid(column), held, kind.type(null))


def numbers(column: pa.Array, null: int = 0) -> np.ndarray:
    """`filled`, as int64."""
    return filled(column, null).astype(I64, copy=False)


def valid(column: pa.Array) -> np.ndarray:
    """Which rows have a value."""
    if not column.null_count:
        return np.ones(len(column), bool)
    bits = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), bitorder="little")
    return bits[column.offset : column.offset + len(column)].view(bool)


def values(column: pa.Array) -> Values:
    """A column of events: texts as bytes, and numbers."""
    known = valid(column)
    if not pa.types.is_string(column.type):
        return Values(filled(column), known)
    data = np.empty(len(column), TEXT)
    data[:] = column.cast(pa.binary()).to_pylist()
    return Values(data, known)
