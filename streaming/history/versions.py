"""Versions of a view's feature tables: which definition made which rows, from the files' footers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs
from pyarrow import parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming.history import store
from streaming.history.backfill import place
from streaming.history.store import HistoryError

FOLDER = "event_date="
MARKS = ("_definition", "created_timestamp")


@dataclass(frozen=True)
class Part:
    """One file: its path, its event date, its rows by version, when it was made, and its columns."""

    path: str
    day: date
    rows: tuple[tuple[str, int], ...]
    created: datetime
    schema: pa.Schema


@dataclass(frozen=True)
class Version:
    """The rows that one definition made: their event dates, how many there are, and when they were made last.

    Dates that another version wrote since are not among them.
    """

    definition: str
    first: date
    last: date
    dates: int
    rows: int
    created: datetime


def parts(root: str, view: str, since: date | None = None, until: date | None = None) -> list[Part]:
    """The files of a view's feature table, by date, of those from `since` to before `until`."""
    system, path = place(store.features_path(root, view))
    names = []
    for folder in system.get_file_info(fs.FileSelector(path, allow_not_found=True)):
        if not folder.base_name.startswith(FOLDER):
            continue
        day = date.fromisoformat(folder.base_name.removeprefix(FOLDER))
        if (since and day < since) or (until and day >= until):
            continue
        inside = system.get_file_info(fs.FileSelector(folder.path))
        names += [(day, f"{folder.base_name}/{f.base_name}") for f in inside if f.extension == "parquet"]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(partial(_part, system, path, store.features_path(root, view)), sorted(names)))


def _part(system: fs.FileSystem, path: str, shown: str, name: tuple[date, str]) -> Part:
    day, inside = name
    with system.open_input_file(f"{path}/{inside}") as file:
        footer = pq.ParquetFile(file)
        schema = footer.schema_arrow
        place = f"{shown}/{inside}"
        if any(mark not in schema.names for mark in MARKS):
            raise HistoryError(f"{place} is not from `tidemark backfill`: move it away")
        held = _statistics(footer.metadata)
        if held is None:
            held = _marks(footer.read(list(MARKS)))
        return Part(place, day, *held, schema)


def _statistics(footer: pq.FileMetaData) -> tuple[tuple[tuple[str, int], ...], datetime] | None:
    """Rows by version and when they were made, None where row groups hold several versions."""
    rows: dict[str, int] = {}
    created = datetime.fromtimestamp(0, UTC)
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        of = {c.path_in_schema: c.statistics for c in map(group.column, range(group.num_columns))}
        version, stamp = of["_definition"], of["created_timestamp"]
        if (
            not (version and stamp and version.has_min_max and stamp.has_min_max)
            or version.min != version.max
        ):
            return None
        rows[version.min] = rows.get(version.min, 0) + group.num_rows
        created = max(created, stamp.max)
    return tuple(sorted(rows.items())), created


def _marks(table: pa.Table) -> tuple[tuple[tuple[str, int], ...], datetime]:
    counted = pc.value_counts(table["_definition"]).to_pylist()
    rows = sorted((held["values"], held["counts"]) for held in counted)
    created = pc.max(table["created_timestamp"]).as_py()
    return tuple(rows), created or datetime.fromtimestamp(0, UTC)


def versions(found: Iterable[Part]) -> list[Version]:
    """The versions in these files, the one made last first."""
    held: dict[str, list[tuple[Part, int]]] = {}
    for part in found:
        for definition, rows in part.rows:
            held.setdefault(definition, []).append((part, rows))
    listed = [_version(definition, of) for definition, of in held.items()]
    return sorted(listed, key=lambda v: (v.created, v.definition), reverse=True)


def _version(definition: str, of: Sequence[tuple[Part, int]]) -> Version:
    days = {part.day for part, _ in of}
    rows, created = sum(rows for _, rows in of), max(part.created for part, _ in of)
    return Version(definition, min(days), max(days), len(days), rows, created)


def read(spark: SparkSession, root: str, view: str, version: str) -> DataFrame:
    """The rows of a view that the definition `version` made, with the columns it had then and `event_date`.

    `version` may be cut short as long as it names one. Raises HistoryError when it names none, or several.
    """
    found = parts(root, view)
    known = [v.definition for v in versions(found)]
    named = [name for name in known if name.startswith(version)] if version else []
    path = store.features_path(root, view)
    if len(named) != 1:
        what = "is one of several versions" if named else "is no version"
        held = f"choose from {', '.join(named or known)}" if known else "run `tidemark backfill` first"
        raise HistoryError(f"{version or 'the empty text'} {what} of view {view} in {path}: {held}")
    (chosen,) = named
    files = [part.path for part in found if chosen in dict(part.rows)]
    return load(spark, path, files).where(F.col("_definition") == chosen)


def load(spark: SparkSession, path: str, files: Collection[str]) -> DataFrame:
    """Some files of the table in `path`, which have the same columns, with `event_date`."""
    absolute = [str(folder.absolute()) if (folder := store.local(name)) else name for name in (path, *files)]
    return spark.read.option("basePath", absolute[0]).parquet(*absolute[1:])
