"""Python workers of a local Spark, started while its driver has other things to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession


def wake(spark: SparkSession) -> None:
    """Run a job that does nothing, on every core: its workers have imported what tasks need, and stay.

    The first batch would wait for that, 2 to 3 s on two cores. On a cluster this does nothing: its executors may
    not be there yet.
    """
    context = spark.sparkContext
    if str(context.master).startswith("local"):
        cores = context.defaultParallelism
        spark.range(0, cores, 1, cores).mapInArrow(_import, "id bigint").collect()


def _import(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from streaming import duplicates, packets, task  # noqa: F401

    yield from batches
