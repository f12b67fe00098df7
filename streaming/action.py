"""Spark jobs over some of a frame's partitions, and frames that are planned once for many batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


class Planned:
    """A frame over rows of one shape: planned for the first, computed for others.

    Spark plans a micro-batch anew each time, which takes longer than the work of a small one. `make` is the
    frame of given rows; each of its steps has one input, or TypeError is raised.
    """

    def __init__(self, make: Callable[[DataFrame], DataFrame]) -> None:
        self._make = make
        self._steps: list[Any] = []
        self._leaf: Any = None
        self._schema: Any = None

    def over(self, rows: DataFrame) -> Action:
        """The frame of `rows`, which come from an RDD, as the batches of a stream do."""
        if self._leaf is None:
            self._plan(rows)
        session: Any = rows.sparkSession
        one = session._jvm.PythonUtils.toSeq
        leaf = self._leaf
        plan = leaf.copy(
            leaf.output(),
            rows._jdf.queryExecution().logical().rdd(),
            leaf.name(),
            leaf.outputPartitioning(),
            leaf.outputOrdering(),
            leaf.stream(),
        )
        for step in self._steps:
            plan = step.withNewChildren(one([plan]))
        frame = session._jsparkSession.internalCreateDataFrame(plan.execute(), self._schema, False)
        return Action(DataFrame(frame, session))

    def _plan(self, rows: DataFrame) -> None:
        frame = self._make(rows)._jdf
        step = frame.queryExecution().executedPlan()
        while step.children().nonEmpty():
            if step.children().size() > 1:
                raise TypeError(f"{step.nodeName()} has {step.children().size()} inputs")
            self._steps.insert(0, step)
            step = step.children().head()
        self._leaf, self._schema = step, frame.schema()


def told() -> str:
    """What this task's job was told; nothing outside of a task."""
    context = TaskContext.get()
    return (context and context.getLocalProperty(TOLD)) or ""
