"""Feature tables as of each event: what a view's features were when each event had happened.

They are Parquet by `event_date`, and the views' Feast `batch_source`. Tasks write into a staging folder of the
run. When all have finished, each date's new files are put beside its old ones, which are then deleted: a date is never
missing, and while both are there Feast takes the row that was created last. A task that ran twice counts once, and a
run that was stopped leaves nothing behind that is read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq
from pyspark.sql import functions as F

from streaming.history import cells, store, version
from streaming.history.blocks import ROWS, Answers, Blocks
from streaming.history.events import Events, shared_out
from streaming.history.rows import Reader
from streaming.plan import View

DAY = 86_400_000_000
WRITTEN = "day bigint, file string, rows bigint"


@dataclass(frozen=True)
class Backfilled:
    """What a backfill wrote of one view: rows and dates; `definition` is in every row."""

    view: str
    rows: int
    dates: int
    definition: str


@dataclass(frozen=True)
class Write:
    """The function for `mapInArrow`: writes the rows of `days` (first, and first after) below `staging`."""

    blocks: Blocks
    staging: str
    days: tuple[int, int]
    created: datetime
    definition: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        system, root = place(self.staging)
        name = f"part-{uuid.uuid4().hex}.parquet"
        files: dict[int, pq.ParquetWriter] = {}
        rows: dict[int, int] = {}
        try:
            for answers in self.blocks(batches):
                for day, table in self._by_day(answers):
                    if day not in files:
                        folder = f"{root}/{partition(day)}"
                        system.create_dir(folder)
                        files[day] = self._open(system, f"{folder}/{name}", table.schema)
                    files[day].write_table(table)
                    rows[day] = rows.get(day, 0) + table.num_rows
        finally:
            for file in files.values():
                file.close()
        days = sorted(rows)
        yield pa.RecordBatch.from_pydict(
            {
                "day": pa.array(days, pa.int64()),
                "file": pa.array([name] * len(days), pa.string()),
                "rows": pa.array([rows[day] for day in days], pa.int64()),
            }
        )

    def _open(self, system: fs.FileSystem, path: str, schema: pa.Schema) -> pq.ParquetWriter:
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        return pq.ParquetWriter(path, schema, filesystem=system, compression="snappy", use_dictionary=texts)

    def _by_day(self, answers: Answers) -> Iterator[tuple[int, pa.Table]]:
        days = answers.read.time // DAY
        chosen = np.flatnonzero((days >= self.days[0]) & (days < self.days[1]))
        chosen = chosen[np.argsort(days[chosen], kind="stable")]
        if not len(chosen):
            return
        table = self._table(answers, chosen)
        heads = np.flatnonzero(np.diff(days[chosen], prepend=days[chosen[0]] - 1))
        for a, b in zip(heads.tolist(), [*heads[1:].tolist(), len(chosen)], strict=True):
            yield int(days[chosen[a]]), table.slice(a, b - a)

    def _table(self, answers: Answers, rows: np.ndarray) -> pa.Table:
        view, read, found = self.blocks.reader.view, answers.read, answers.features
        number = pa.array(read.entity[rows])
        columns = {name: column.take(number) for name, column in join_keys(view, read.keys).items()}
        for f in view.features:
            columns[f.name] = cells.column(f, found.values[f.name][rows], found.valid[f.name][rows])
        stamp = pa.timestamp("us", "UTC")
        columns["event_timestamp"] = pa.array(read.time[rows]).cast(stamp)
        columns["created_timestamp"] = pa.repeat(pa.scalar(self.created, stamp), len(rows))
        columns["_definition"] = pa.repeat(self.definition, len(rows))
        columns["_partition"] = pa.array(read.part[rows]).cast(pa.int32())
        columns["_offset"] = pa.array(read.offset[rows])
        return pa.table(columns)


def backfill(
    events: Events,
    view: View,
    since: date | None,
    until: date | None,
    *,
    tasks: int,
    now: datetime,
    rows: int = ROWS,
) -> Backfilled:
    """Write the features as of each event from `since` to before `until` (whole days, UTC; None: all there is).

    Every date in between is written anew. `now` is the rows' created_timestamp. Raises HistoryError
    when there are no events.
    """
    reach = timedelta(milliseconds=max(w.length + w.slide for w in view.windows))
    history = events.of_view(view, since and (since - reach - timedelta(days=1)), until)
    columns = events.projection.views[events.plan.views.index(view)]
    placed = shared_out(history.withColumn("ask", F.lit(None).cast("bigint")), tasks)
    days = _day(since) if since else -(2**40), _day(until) if until else 2**40
    staging = f"{store.features_path(events.root, '.staging')}/{uuid.uuid4().hex}"
    definition = version.definition(events.plan, view)
    write = Write(Blocks(Reader(view, columns, every_event=True), rows), staging, days, now, definition)
    try:
        written = placed.mapInArrow(write, WRITTEN).collect()
        files: dict[int, list[str]] = {}
        for row in written:
            files.setdefault(row.day, []).append(row.file)
        _publish(staging, store.features_path(events.root, view.name), files, days)
    finally:
        system, path = place(staging)
        if system.get_file_info(path).type != fs.FileType.NotFound:
            system.delete_dir(path)
    return Backfilled(view.name, sum(row.rows for row in written), len(files), definition)


def _publish(staging: str, target: str, files: dict[int, list[str]], days: tuple[int, int]) -> None:
    """The staged files take the place of what `target` has of these days."""
    system, source = place(staging)
    _, root = place(target)
    system.create_dir(root)
    kept = set()
    for day, names in files.items():
        system.create_dir(f"{root}/{partition(day)}")
        for name in names:
            path = f"{root}/{partition(day)}/{name}"
            system.move(f"{source}/{partition(day)}/{name}", path)
            kept.add(path)
    for info in system.get_file_info(fs.FileSelector(root)):
        head, _, text = info.base_name.partition("=")
        if head != "event_date" or not days[0] <= _day(date.fromisoformat(text)) < days[1]:
            continue
        inside = system.get_file_info(fs.FileSelector(info.path))
        for old in inside:
            if old.path not in kept:
                system.delete_file(old.path)
        if all(old.path not in kept for old in inside):
            system.delete_dir(info.path)


def join_keys(view: View, keys: pa.Array) -> dict[str, pa.Array]:
    """The engine's entity keys (bytes) as the view's join keys, by name."""
    names = [name for name, _ in view.join_keys]
    if len(names) == 1:
        columns = [keys.cast(pa.string())]
    else:
        split = [msgspec.json.decode(key) for key in keys.to_pylist()]
        columns = [pa.array([parts[i] for parts in split], pa.string()) for i in range(len(names))]
    return {
        name: column.cast(cells.TYPES[type_])
        for (name, type_), column in zip(view.join_keys, columns, strict=True)
    }


def place(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a folder or URI, and the path in it."""
    folder = store.local(uri)
    if folder is not None:
        return fs.LocalFileSystem(), str(folder.absolute())
    # Hadoop's name for S3.
    return fs.FileSystem.from_uri(uri.replace("s3a://", "s3://", 1))


def partition(day: int) -> str:
    """The folder of a day, given in days since 1970."""
    return f"event_date={(datetime.fromtimestamp(0, UTC) + timedelta(days=day)).date().isoformat()}"


def _day(moment: date) -> int:
    return (moment - date(1970, 1, 1)).days
