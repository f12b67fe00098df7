"""Spark jobs over some of a frame's partitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyspark import SparkContext, TaskContext
from pyspark.core.rdd import _load_from_socket
from pyspark.serializers import BatchedSerializer, CPickleSerializer
from pyspark.sql import DataFrame, Row

TOLD = "tidemark.told"
_PICKLED = BatchedSerializer(CPickleSerializer())


@dataclass(frozen=True)
class Action:
    """Rows that are planned, and computed some partitions at a time. What they share, such as the files of a shuffle,
    is computed once too.

    `rows` is a JavaRDD of them as Python is given them.
    """

    context: SparkContext
    rows: Any

    @staticmethod
    def of(frame: DataFrame) -> Action:
        """The rows of a frame."""
        return Action(frame.sparkSession.sparkContext, frame.rdd._jrdd)

    @property
    def partitions(self) -> int:
        """How many there are."""
        return int(self.rows.getNumPartitions())

    def collect(self, wanted: Iterable[int], told: str = "") -> list[Row]:
        """The rows of the partitions `wanted`, whose tasks are told something (see `told`).

        As `SparkContext.runJob` does it, without its second Python process a task.
        """
        context: Any = self.context
        context._jsc.setLocalProperty(TOLD, told or None)
        try:
            found = context._jvm.PythonRDD.runJob(context._jsc.sc(), self.rows, list(wanted))
        finally:
            context._jsc.setLocalProperty(TOLD, None)
        with _load_from_socket(found, _PICKLED) as rows:
            return list(rows)


def told() -> str:
    """What this task's job was told; nothing outside of a task."""
    context = TaskContext.get()
    return (context and context.getLocalProperty(TOLD)) or ""
