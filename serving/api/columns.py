"""Columns of features as JSON has them: lists of numbers, texts, truth values and nulls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from serving.reader import Row, Rows
from serving.response import Column
from streaming.errors import DefinitionError


def listed(features: Rows | Row, rows: np.ndarray) -> list[list[Any]]:
    """Values of each feature of a read, in its order; `rows` says which entity each row of the answer shows."""
    if isinstance(features, Row):
        pairs = zip(features.dtypes, features.values, strict=True)
        return [[plain(dtype, value)] * len(rows) for dtype, value in pairs]
    whole = len(rows) == len(features.found) and bool((rows == np.arange(len(rows))).all())
    if whole:
        return [column(one) for one in features.columns]
    return [column(Column(one.dtype, one.values[rows], one.valid[rows])) for one in features.columns]


def column(column: Column) -> list[Any]:
    """All values of a column."""
    held = column.values.tolist()
    if column.dtype == "UNIX_TIMESTAMP":
        held = [moment(value) for value in held]
    elif column.dtype == "STRING":
        held = [None if value is None else value.decode(errors="replace") for value in held]
    if not column.valid.all():
        for place in np.flatnonzero(~column.valid).tolist():
            held[place] = None
    return held


def plain(dtype: str, value: Any) -> Any:
    """One value as a view computed it: timestamps are microseconds, texts are bytes."""
    if value is None or dtype == "DOUBLE":
        return value
    if dtype == "STRING":
        return value.decode(errors="replace")
    if dtype == "UNIX_TIMESTAMP":
        return moment(int(value) // 1_000_000)
    if dtype == "BOOL":
        return bool(value)
    return float(value) if dtype == "FLOAT" else int(value)


def moment(seconds: int) -> str:
    """ISO 8601 in UTC; Feast keeps timestamps to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moments(values: Sequence[Any]) -> list[datetime | None]:
    """ISO texts as datetimes. Raises DefinitionError for what is none."""
    try:
        found = [None if value is None else datetime.fromisoformat(value) for value in values]
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{error}: write times like 2026-01-31T12:00:00Z") from None
    return [at if at is None or at.tzinfo else at.replace(tzinfo=UTC) for at in found]


def series(values: Sequence[Any]) -> Any:
    """A column as pandas has it from Arrow: numbers with nulls are floats, times datetimes, anything else objects."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds and kinds <= {int, float}:
        return np.array(values, float) if None in values else np.array(values)
    if kinds == {datetime}:
        return pd.to_datetime(list(values), utc=True)
    if kinds == {bool} and None not in values:
        return np.array(values)
    found = np.empty(len(values), object)
    found[:] = values
    return found


def clean(values: Any) -> list[Any]:
    """What a formula returned: numpy's scalars as Python's, NaN and NaT as null, times as text."""
    held = values.tolist() if hasattr(values, "tolist") else list(values)
    return [_clean(value) for value in held]


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):  # NaT is one, and unequal to itself
        return None if value != value else value.isoformat().replace("+00:00", "Z")
    return value.item() if isinstance(value, np.generic) else value
