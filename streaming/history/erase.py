"""An entity taken out of history: out of every table, and out of every file that a table no longer needs.

What is not the entity's stays byte for byte what it was, but in new files. A lane that writes or reads the tables
must not run: files that it has not finished with would be deleted under it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import pyarrow.compute as pc
import pyarrow.parquet as pq
from delta.tables import DeltaTable
from pyarrow import fs
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from streaming.history.backfill import place
from streaming.history.parity_runs import Run
from streaming.plan import Plan

VACUUM = {
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    # Delta lists a table's folders in as many tasks, ten thousand by default, however few they are.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",
}
"""Spark's settings while old files are deleted at once."""


@dataclass(frozen=True)
class Erased:
    """Of one table: rows that were the entity's, rows of it that are left, and files beside the current version's."""

    table: str
    rows: int
    left: int
    old_files: int


@dataclass(frozen=True)
class Eraser:
    """Erases the entity whose join key `name` is `value` from the history at `root`."""

    spark: SparkSession
    plan: Plan
    root: str
    name: str
    value: str

    def run(self) -> list[Erased]:
        """Every table, by its path. What is left and old is counted anew, from what is stored then."""
        done = [*self._delta_tables(), *self._features()]
        self._examples()
        return done

    def statistics(self) -> int:
        """Files of Delta's own logs that still name the entity, as the least or greatest value of a deleted file."""
        system, root = place(self.root)
        infos = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        logs = [i.path for i in infos if "/_delta_log/" in i.path and i.base_name.endswith(".json")]
        return sum(self._written.encode() in _bytes(system, path) for path in logs)

    @property
    def _word(self) -> str:
        """A pattern of Java's for the value as a word of its own: U1 is not in U10."""
        quoted = self.value.replace("\\E", r"\E\\E\Q")
        return rf"(?<![\w-])\Q{quoted}\E(?![\w-])"

    @property
    def _written(self) -> str:
        """The value as it stands in JSON."""
        return json.dumps(self.value, ensure_ascii=False)

    def _delta_tables(self) -> Iterator[Erased]:
        system, root = place(self.root)
        infos = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        folders = sorted(i.path.removesuffix("/_delta_log") for i in infos if i.base_name == "_delta_log")
        for folder in folders:
            table = folder.removeprefix(root).strip("/")
            path = f"{self.root.rstrip('/')}/{table}"
            held = DeltaTable.forPath(self.spark, path)
            mine = self._mine(table, held.toDF().columns)
            if mine is None:
                continue
            rows = held.toDF().where(mine).count()
            if rows:
                held.delete(mine)
            with self._unchecked():
                # Also what an earlier deletion, or compaction, has left behind.
                held.vacuum(0)
            now = DeltaTable.forPath(self.spark, path).toDF()
            current = {file.rpartition("/")[2] for file in now.inputFiles()}
            stored = [i.base_name for i in _files(system, folder) if i.base_name.endswith(".parquet")]
            old = sum(name not in current for name in stored)
            yield Erased(table, rows, now.where(mine).count(), old)

    def _mine(self, table: str, columns: list[str]) -> Column | None:
        kind, _, rest = table.partition("/")
        if kind == "events":
            return self._of_source(rest, columns)
        if kind == "quarantine":
            # What could not be read may have the entity anywhere.
            return F.coalesce(F.col("_value").cast("string").rlike(self._word), F.lit(False))
        if kind == "feature_log":
            named = F.from_json("entity", "map<string, string>")[self.name] == self.value
            return F.coalesce(named, F.lit(False))
        if kind == "topics":
            within = F.col("value").rlike(self._word)
            return F.coalesce((F.col("key") == self.value) | within, F.lit(False))
        return self._equal(f"`{self.name}`") if self.name in columns else None

    def _of_source(self, source: str, columns: list[str]) -> Column | None:
        names = [s.name for s in self.plan.sources]
        wanted = {f"`{self.name}`"} if self.name in columns else set()
        if source in names:
            number = names.index(source)
            for view in self.plan.of_source(source):
                if sql := dict(view.keys).get(self.name):
                    wanted.add(re.sub(rf"\bsource_{number}\.", "", sql))
        mine: Column | None = None
        for sql in sorted(wanted):
            mine = self._equal(sql) if mine is None else mine | self._equal(sql)
        return mine

    def _equal(self, sql: str) -> Column:
        return F.coalesce(F.expr(f"CAST({sql} AS STRING)") == F.lit(self.value), F.lit(False))

    def _features(self) -> Iterator[Erased]:
        """Parquet tables of features as of past events: files that have the entity are written anew."""
        for view in self.plan.views:
            system, folder = place(f"{self.root.rstrip('/')}/features/{view.name}")
            if self.name not in dict(view.join_keys):
                continue
            paths = [i.path for i in _files(system, folder) if i.base_name.endswith(".parquet")]
            if paths:
                rows = sum(self._without(system, path) for path in paths)
                left = sum(self._rows(system, path) for path in paths)
                yield Erased(f"features/{view.name}", rows, left, 0)

    def _rows(self, system: fs.FileSystem, path: str) -> int:
        if system.get_file_info(path).type == fs.FileType.NotFound:
            return 0
        column = pq.read_table(path, columns=[self.name], filesystem=system, partitioning=None)[self.name]
        return pc.sum(pc.equal(column.cast("string"), self.value)).as_py() or 0

    def _without(self, system: fs.FileSystem, path: str) -> int:
        rows = self._rows(system, path)
        if rows:
            table = pq.read_table(path, filesystem=system, partitioning=None)
            kept = table.filter(pc.not_equal(table[self.name].cast("string"), self.value))
            if kept.num_rows:
                pq.write_table(kept, f"{path}.erasing", filesystem=system)
                system.move(f"{path}.erasing", path)
            else:
                system.delete_file(path)
        return rows

    def _examples(self) -> None:
        """Parity keeps an example of what differed, which names an entity."""
        system, folder = place(f"{self.root.rstrip('/')}/parity")
        for info in _files(system, folder):
            if info.base_name.endswith(".json") and self.value.encode() in _bytes(system, info.path):
                run = msgspec.json.decode(_bytes(system, info.path), type=Run)
                results = [
                    msgspec.structs.replace(r, example="") if self.value in r.example else r
                    for r in run.results
                ]
                with system.open_output_stream(info.path) as file:
                    file.write(msgspec.json.encode(msgspec.structs.replace(run, results=results)))

    @contextmanager
    def _unchecked(self) -> Iterator[None]:
        before = {name: self.spark.conf.get(name, None) for name in VACUUM}
        for name, value in VACUUM.items():
            self.spark.conf.set(name, value)
        try:
            yield
        finally:
            for name, held in before.items():
                if held is None:
                    self.spark.conf.unset(name)
                else:
                    self.spark.conf.set(name, held)


def _files(system: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    infos = system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    return [info for info in infos if info.type == fs.FileType.File and "/_delta_log/" not in info.path]


def _bytes(system: fs.FileSystem, path: str) -> bytes:
    with system.open_input_stream(path) as file:
        return file.read()
