"""Parquet: a batch is one folder, written out of sight and then moved into place by one rename."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from streaming.sinks.contract import SinkRefused, Table, Writer
from streaming.sinks.trouble import reported

COLUMN = "sink_batch"
"""Partition column of the folders: <writer>-<batch>."""
STAGING = "_staging"


@dataclass(frozen=True)
class ParquetFolder:
    """A folder of a file system whose rename is atomic: a local disk or HDFS, not an object store."""

    root: str

    @property
    def name(self) -> str:
        return f"parquet:{self.root}"

    def sink(self, table: Table, writer: Writer) -> ParquetSink:
        return ParquetSink(f"{self.root.rstrip('/')}/{table.name}", table, writer)


@dataclass(frozen=True)
class ParquetSink:
    """Writes <path>/sink_batch=<writer>-<batch>/<partition>=<date>/part-....parquet."""

    path: str
    table: Table
    writer: Writer

    def write(self, batch: DataFrame, batch_id: int) -> None:
        """See `streaming.sinks.contract.Sink`."""
        name = f"{self.writer.text}-{batch_id:09d}"
        staging, place = f"{self.path}/{STAGING}/{name}", f"{self.path}/{COLUMN}={name}"
        with reported(self.path):
            files = Files(batch.sparkSession, self.path)
            self._refuse_others(files)
            if files.exists(place):
                return
            rows = batch.select(*self.table.columns)
            rows.write.mode("overwrite").partitionBy(self.table.partition).parquet(staging)
            files.move(staging, place)

    def _refuse_others(self, files: Files) -> None:
        pattern = re.compile(rf"{COLUMN}={re.escape(self.writer.name)}-([0-9a-f]{{16}})-\d+")
        mine = f"{self.writer.identity:016x}"
        for name in files.names(self.path):
            found = pattern.fullmatch(name)
            if found and found[1] != mine:
                raise SinkRefused(
                    f"{self.path} was written from another checkpoint: start the lane on that checkpoint, or give "
                    "the sink an empty folder"
                )


class Files:
    """The file system of a path, as Spark's JVM sees it."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        context = spark.sparkContext
        self._jvm: Any = context._jvm
        self._fs = self._path(path).getFileSystem(context._jsc.hadoopConfiguration())

    def _path(self, path: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(path)

    def exists(self, path: str) -> bool:
        return bool(self._fs.exists(self._path(path)))

    def names(self, path: str) -> list[str]:
        """What a folder holds; nothing when there is none."""
        if not self.exists(path):
            return []
        return [status.getPath().getName() for status in self._fs.listStatus(self._path(path))]

    def move(self, old: str, new: str) -> None:
        """Rename. Raises OSError when the file system says no."""
        if not self._fs.rename(self._path(old), self._path(new)):
            raise OSError(f"{old} could not be renamed to {new}")
