"""Frames that are planned, and whose code is generated, once for many batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession

from streaming import janino
from streaming.action import Action

EVALUATORS = "spark.sql.execution.usePartitionEvaluator"

Step = Callable[[Any], Any]
"""Makes an RDD of rows from another."""


class Planned:
    """A frame over rows of one shape: planned for the first, computed for others.

    Spark plans a micro-batch anew each time and generates its code, on the driver and again in each task, which takes
    longer than the work of a small one. `make` is the frame of given rows, out of steps that have one input and work
    on a partition by itself, and shuffles; TypeError is raised for another.
    """

    def __init__(self, make: Callable[[DataFrame], DataFrame]) -> None:
        self._make = make
        self._steps: list[Step] = []

    def over(self, rows: DataFrame) -> Action:
        """The frame of `rows`, which come from an RDD, as the batches of a stream do."""
        if not self._steps:
            with _by_evaluators(rows.sparkSession):
                self._plan(rows)
        rdd = rows._jdf.queryExecution().logical().rdd()
        for step in self._steps:
            rdd = step(rdd)
        return Action(rows.sparkSession.sparkContext, rdd.toJavaRDD())

    def _plan(self, rows: DataFrame) -> None:
        frame = self._make(rows)._jdf
        plan = frame.queryExecution().executedPlan()
        shuffles, leaf = [], plan
        while leaf.children().nonEmpty():
            if leaf.children().size() > 1:
                raise TypeError(f"{leaf.nodeName()} has {leaf.children().size()} inputs")
            if leaf.getClass().getSimpleName() == "ShuffleExchangeExec":
                shuffles.append(leaf)
            leaf = leaf.children().head()
        rdd, given, scanned = plan.execute(), leaf.rdd().id(), leaf.execute().id()
        make = _Steps(rows.sparkSession.sparkContext)
        steps = make.plain(frame.schema())
        while rdd.id() not in (given, scanned):
            kind = rdd.getClass().getSimpleName()
            if kind == "MapPartitionsWithEvaluatorRDD":
                steps.append(make.evaluated(rdd))
                rdd = rdd.prev()
            elif kind == "ShuffledRowRDD":
                steps.append(make.shuffled(shuffles.pop(0), rdd))
                rdd = rdd.dependency().rdd().prev()
            else:
                raise TypeError(f"{kind} is no step over a partition by itself")
        if rdd.id() == scanned:
            steps.append(make.projected(leaf.output(), leaf.output()))
        self._steps = steps[::-1]


@contextmanager
def _by_evaluators(session: SparkSession) -> Iterator[None]:
    """Within, Spark's plans say what they do to a partition as objects that any RDD can be given."""
    before = session.conf.get(EVALUATORS)
    session.conf.set(EVALUATORS, "true")
    try:
        yield
    finally:
        session.conf.set(EVALUATORS, before or "")


@dataclass(frozen=True)
class _Steps:
    """Makes an RDD's successor by what an executed plan has done."""

    context: SparkContext

    @property
    def _jvm(self) -> Any:
        return self.context._jvm

    def evaluated(self, rdd: Any) -> Step:
        """The step of a MapPartitionsWithEvaluatorRDD."""
        factory = self._field(rdd, "evaluatorFactory")
        if factory.getClass().getSimpleName() == "ProjectEvaluatorFactory":
            prefix = factory.getClass().getName().replace(".", "$") + "$$"
            held = [self._field(factory, prefix + name) for name in ("projectList", "childOutput")]
            return self.projected(*held)
        return self._held(factory)

    def projected(self, expressions: Any, attributes: Any) -> Step:
        """The step of a projection."""
        return self._held(janino.array(self.context, expressions, attributes))

    def plain(self, schema: Any) -> list[Step]:
        """The steps, the last one first, of rows of `schema` on their way to Python."""
        python = self._jvm.org.apache.spark.sql.execution.python.EvaluatePython
        return [python.javaToPython, self._over(janino.installed(self.context, "Plain", schema))]

    def shuffled(self, exchange: Any, rdd: Any) -> Step:
        """The step of an exchange and of the ShuffledRowRDD it became."""
        sql = self._jvm.org.apache.spark.sql.execution
        output, partitioning = exchange.children().head().output(), exchange.outputPartitioning()
        serializer, metrics = rdd.dependency().serializer(), exchange.metrics()

        def over(given: Any) -> Any:
            dependency = sql.exchange.ShuffleExchangeExec.prepareShuffleDependency(
                given, output, partitioning, serializer, metrics
            )
            return sql.ShuffledRowRDD(dependency, metrics)

        return over

    def _held(self, step: Any) -> Step:
        context: Any = self.context
        return self._over(janino.installed(context, "Held", context._jsc, step))

    def _over(self, factory: Any) -> Step:
        tag = self._jvm.scala.reflect.ClassTag.AnyRef()
        make = self._jvm.org.apache.spark.rdd.MapPartitionsWithEvaluatorRDD
        return lambda rdd: make(rdd, factory, False, tag, tag)

    def _field(self, held: Any, name: str) -> Any:
        return self._jvm.org.apache.commons.lang3.reflect.FieldUtils.readField(held, name, True)
