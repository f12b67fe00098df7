"""A feature's values as an Arrow column of its Feast type, as the online store serves them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streaming.errors import DefinitionError
from streaming.parts import I64
from streaming.plan import Feature

TYPES = {
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "INT64": pa.int64(),
    "INT32": pa.int32(),
    "BOOL": pa.bool_(),
    "STRING": pa.string(),
    "UNIX_TIMESTAMP": pa.timestamp("us", "UTC"),
}
"""Arrow types by the name of a Feast ValueType."""
SPARK = {
    "DOUBLE": "double",
    "FLOAT": "float",
    "INT64": "bigint",
    "INT32": "int",
    "BOOL": "boolean",
    "STRING": "string",
    "UNIX_TIMESTAMP": "timestamp",
}


def column(feature: Feature, values: np.ndarray, valid: np.ndarray) -> pa.Array:
    """Values of a feature, null where not `valid`; whole numbers are truncated, moments to seconds.

    Raises DefinitionError when a number does not fit the declared type.
    """
    type_ = TYPES[feature.dtype]
    mask = None if valid.all() else ~valid
    if feature.dtype == "STRING":
        texts = [v.decode() if ok else None for v, ok in zip(values.tolist(), valid.tolist(), strict=True)]
        return pa.array(texts, type_)
    if feature.dtype in ("INT64", "INT32"):
        values = _whole(feature, values if mask is None else np.where(valid, values, 0))
    elif feature.dtype == "BOOL":
        values = values != 0
    elif feature.dtype == "UNIX_TIMESTAMP":
        seconds = np.where(valid, values, 0)
        seconds = (seconds + np.where(seconds < 0, 999_999, 0)) // 1_000_000
        return pa.array(seconds * 1_000_000, pa.int64(), mask=mask).cast(type_)
    elif feature.dtype == "FLOAT":
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float32)
    else:
        values = values.astype(np.float64, copy=False)
    return pa.array(values, type_, mask=mask)


def _whole(feature: Feature, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f" or feature.dtype == "INT32":
        bound = 2**31 if feature.dtype == "INT32" else 2**63
        if not ((values < bound) & (values >= -bound)).all():
            wider = "Int64" if feature.dtype == "INT32" else "Float64"
            raise DefinitionError(
                f"a value of feature {feature.name} does not fit {feature.dtype}: declare the feature {wider}"
            )
    return values.astype(np.int32 if feature.dtype == "INT32" else I64)
