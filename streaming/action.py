"""Spark jobs over some of a frame's partitions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pyspark import TaskContext
from pyspark.core.rdd import _load_from_socket
from pyspark.sql import DataFrame, Row

TOLD = "tidemark.told"


class Action:
    """A frame that is planned once, and computed some partitions at a time. What they share, such as the files of
    a shuffle, is computed once too."""

    def __init__(self, frame: DataFrame) -> None:
        self._context = frame.sparkSession.sparkContext
        self._rdd = frame.rdd

    @cached_property
    def partitions(self) -> int:
        """How many there are."""
        return self._rdd.getNumPartitions()

    def collect(self, wanted: Iterable[int], told: str = "") -> list[Row]:
        """The rows of the partitions `wanted`, whose tasks are told something (see `told`).

        As `SparkContext.runJob` does it, without its second Python process a task.
        """
        context: Any = self._context
        context._jsc.setLocalProperty(TOLD, told or None)
        try:
            found = context._jvm.PythonRDD.runJob(context._jsc.sc(), self._rdd._jrdd, list(wanted))
        finally:
            context._jsc.setLocalProperty(TOLD, None)
        with _load_from_socket(found, self._rdd._jrdd_deserializer) as rows:
            return list(rows)


def told() -> str:
    """What this task's job was told; nothing outside of a task."""
    context = TaskContext.get()
    return (context and context.getLocalProperty(TOLD)) or ""
