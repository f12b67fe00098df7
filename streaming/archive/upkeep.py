"""What keeps the tables small and fast: compaction of past days, deletion of old ones, and of files unused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from streaming.errors import TidemarkError
from streaming.sinks.delta import DeltaFolder
from streaming.sinks.trouble import reported

log = structlog.get_logger("tidemark.history")


@dataclass(frozen=True)
class Upkeep:
    """Of the tables in `folder`. `retention_days` of 0 deletes nothing.

    Files that no version needs any more are deleted after `vacuum_hours`; a reader that takes longer than
    that over one version, or a stream that is further behind, loses them.
    """

    spark: SparkSession
    folder: DeltaFolder
    retention_days: int
    vacuum_hours: float
    clock: Callable[[], float]

    def run(self, tables: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
        """Look after each (table, its partition column); files removed and added by compaction, by table.

        A table that cannot be written is left for the next time.
        """
        done = {}
        for name, column in tables:
            try:
                with reported(name):
                    done[name] = self._one(name, column)
            except TidemarkError as error:
                log.warning("no upkeep", table=name, cause=str(error))
        return done

    def _one(self, name: str, column: str) -> dict[str, int]:
        path = self.folder.path(name)
        if not DeltaTable.isDeltaTable(self.spark, path):
            return {}
        table = DeltaTable.forPath(self.spark, path)
        today = datetime.fromtimestamp(self.clock(), UTC).date()
        if self.retention_days:
            # Whole partitions: no file is written anew.
            table.delete(f"{column} < DATE '{today - timedelta(days=self.retention_days)}'")
        # Today's partition still grows; a day of one file is left alone.
        row = (
            table.optimize()
            .where(f"{column} < DATE '{today}'")
            .executeCompaction()
            .select("metrics.*")
            .first()
        )
        table.vacuum(self.vacuum_hours)
        return {"removed": row.numFilesRemoved, "added": row.numFilesAdded} if row else {}
