"""Feature tables as `tidemark backfill` writes them, with values that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streaming.history import cells
from streaming.plan import Feature, View, Window

MADE = datetime(2026, 3, 20, 8, tzinfo=UTC)
OLD, NEW = "0123456789abcdef", "01fedcba98765432"
HOUR = Window(3_600_000, 60_000)


def view(name: str = "v", **dtypes: str) -> View:
    """A view with these features."""
    features = tuple(Feature(name, "max", "amount", HOUR, dtype) for name, dtype in dtypes.items())
    return View(name, name, "tests", "events", (("user_id", "STRING"),), features, ())


def at(day: date) -> datetime:
    """The moment of every row of a day."""
    return datetime.combine(day, time(12), UTC)


def write(
    root: Path,
    of: View,
    day: date,
    columns: Mapping[str, Sequence[Any]],
    definition: str = OLD,
    created: datetime = MADE,
    name: str = "part-1",
) -> Path:
    """One file of a view's table."""
    types = {f.name: cells.TYPES[f.dtype] for f in of.features}
    rows = len(next(iter(columns.values())))
    stamp = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "user_id": [f"u{i}" for i in range(rows)],
            **{name: pa.array(values, types[name]) for name, values in columns.items()},
            "event_timestamp": pa.array([at(day)] * rows, stamp),
            "created_timestamp": pa.array([created] * rows, stamp),
            "_definition": [definition] * rows,
            "_partition": pa.array([0] * rows, pa.int32()),
            "_offset": pa.array(range(rows), pa.int64()),
        }
    )
    folder = root / "features" / of.name / f"event_date={day}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    pq.write_table(table, path, row_group_size=1000)
    return path
