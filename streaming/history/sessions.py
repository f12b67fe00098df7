"""A Spark session that reads history, for the time of one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from streaming import session as sessions
from streaming.history.store import StoreSettings
from streaming.lanes import failures
from streaming.sinks.delta import SPARK


@contextmanager
def session(
    name: str, settings: StoreSettings, jars: Callable[[], Sequence[Path]] | None = None
) -> Iterator[SparkSession]:
    """A session that knows Delta: spark-submit's, or a local one with the jars that `jars` returns.

    What Spark reports is raised as a TidemarkError of one line.
    """
    submitted = sessions.submitted().contains("spark.master")
    spark = sessions.build(
        f"tidemark-{name}",
        master=settings.master or (None if submitted else "local[*]"),
        jars=() if submitted or jars is None else list(jars()),
        driver_memory=None if submitted else settings.driver_memory,
        conf={**SPARK, "spark.log.level": "ERROR"},
    )
    if not submitted:
        spark.conf.set("spark.sql.shuffle.partitions", str(2 * spark.sparkContext.defaultParallelism))
        spark.conf.set("spark.databricks.delta.snapshotPartitions", "2")
    with failures.stopped(spark):
        try:
            yield spark
        except PySparkException as error:
            raise failures.of(error) from error
