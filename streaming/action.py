"""A Spark job over some of a frame's partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyspark.core.rdd import _load_from_socket
from pyspark.sql import DataFrame, Row


def partitions(frame: DataFrame) -> int:
    """How many partitions a frame has when it is run."""
    return int(frame._jdf.queryExecution().toRdd().getNumPartitions())


def collect(frame: DataFrame, wanted: Iterable[int]) -> list[Row]:
    """The rows of the partitions `wanted`; the others are not computed.

    As `SparkContext.runJob` does it, without its second Python process a task.
    """
    context = frame.sparkSession.sparkContext
    rdd = frame.rdd
    found: Any = context._jvm.PythonRDD.runJob(context._jsc.sc(), rdd._jrdd, list(wanted))  # type: ignore[union-attr]
    with _load_from_socket(found, rdd._jrdd_deserializer) as rows:
        return list(rows)
