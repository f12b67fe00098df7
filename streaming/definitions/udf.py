"""A view's udf -> Spark SQL over the source's struct, so that many views share one pass over the events.

The udf is called once with an empty frame. What it built must be a chain of selections and filters
over that frame; each output column is then one expression, written out as SQL.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DataType, StructType

from streaming.definitions.catalyst import Jvm, Lazy, Scope, Writer, each, name, wrap
from streaming.errors import DefinitionError

Udf = Callable[[DataFrame], DataFrame]

AGGREGATES = "it aggregates rows: leave that to the view's aggregations"
OTHER_FRAME = "it returns another frame than the one it was given: transform its argument"
LIMITS = "it limits rows, which a stream cannot: remove limit"
REMEDIES = {
    "Aggregate": AGGREGATES,
    "Window": "it looks at other rows: leave that to the view's aggregations",
    "Join": "it joins: put what it needs into the message, or read it from another feature view",
    "Generate": "it makes several rows of one: send one message per element",
    "Expand": "it makes several rows of one: send one message per element",
    "Sort": "it sorts, which a stream cannot: remove orderBy",
    "GlobalLimit": LIMITS,
    "LocalLimit": LIMITS,
    "Offset": LIMITS,
    "Tail": LIMITS,
    "Deduplicate": "it drops duplicates: name the source's id in its tags, tags={'event_id': 'column'}",
    "Distinct": "it drops duplicates: name the source's id in its tags, tags={'event_id': 'column'}",
    "Sample": "it samples, so that it is not deterministic: filter on a column",
    "Union": "it unions: declare one view per input",
    "Repartition": "it repartitions: leave that to the engine",
    "RepartitionByExpression": "it repartitions: leave that to the engine",
    "LocalRelation": OTHER_FRAME,
    "LogicalRelation": OTHER_FRAME,
    "OneRowRelation": OTHER_FRAME,
    "Range": OTHER_FRAME,
}
PLAIN = {"Project", "Filter", "SubqueryAlias", "View", "LogicalRDD"}
PYTHON = {"PythonUDF", "ScalaUDF", "PythonUDAF", "PythonUDTF"}
SUBQUERIES = {"ScalarSubquery", "Exists", "ListQuery", "InSubquery", "OuterReference"}
NOW = re.compile(r"Current\w*|Now|LocalTimestamp")


@dataclass(frozen=True)
class Compiled:
    """A udf as SQL: output column -> expression and type, in order; `condition` is empty without a filter."""

    columns: dict[str, str]
    types: dict[str, DataType]
    condition: str


def leaf(spark: SparkSession, struct: str, schema: StructType) -> DataFrame:
    """An empty frame with one struct column, which the optimizer cannot fold away."""
    return spark.createDataFrame(spark.sparkContext.emptyRDD(), StructType().add(struct, schema))


def flatten(frame: DataFrame, struct: str, renamed: Mapping[str, str]) -> DataFrame:
    """The fields of `struct` as columns, under the names that the source's field_mapping gives them."""
    fields = frame.schema[struct].dataType.fieldNames()  # type: ignore[attr-defined]
    return frame.select(*[frame[struct][f].alias(renamed.get(f, f)) for f in fields])


def compile_udf(
    spark: SparkSession,
    udf: Udf,
    struct: str,
    schema: StructType,
    renamed: Mapping[str, str] | None = None,
    wanted: Collection[str] | None = None,
) -> Compiled:
    """Compile `udf` (DataFrame -> DataFrame, row-wise, deterministic) to SQL in terms of column `struct`.

    Only the `wanted` output columns are written (all of them, when None); one that the udf does not
    return is left out.

    Raises DefinitionError, saying what to change, when the udf does anything but select, rename,
    compute and filter columns, when it is not deterministic, or when Spark cannot write it as SQL.
    """
    source = leaf(spark, struct, schema)
    given = flatten(source, struct, renamed or {})
    with _quiet():
        jvm = Jvm(spark)
        result, again = _called(udf, given), _called(udf, given)
        compiled = _compiled(jvm, source, result, wanted)
        # Lambdas are numbered as they are made, so that only their text can be compared.
        if not result.sameSemantics(again) and _compiled(jvm, source, again, wanted) != compiled:
            raise DefinitionError(
                "its udf gives another result when called again: use nothing but its columns"
            )
        _read_back(source, [*compiled.columns.values(), compiled.condition])
    return compiled


def _called(udf: Udf, given: DataFrame) -> DataFrame:
    try:
        result = udf(given)
    except PySparkException as error:
        message = " ".join((error.getMessage() or str(error)).split())
        raise DefinitionError(f"its udf does not fit the source's columns: {message[:200]}") from error
    except Exception as error:  # whatever a user's code raises
        raise DefinitionError(
            f"its udf fails on an empty frame ({type(error).__name__}: {' '.join(str(error).split())[:120]}): "
            "write it with pyspark.sql.functions, imported inside it"
        ) from error
    if not isinstance(result, DataFrame):
        raise DefinitionError(f"its udf returns {type(result).__name__}: return a Spark DataFrame")
    twice = [c for c in result.columns if result.columns.count(c) > 1]
    if twice:
        raise DefinitionError(f"its udf returns two columns called {twice[0]}: rename one")
    return result


def _compiled(jvm: Jvm, source: DataFrame, result: DataFrame, wanted: Collection[str] | None) -> Compiled:
    plan = result._jdf.queryExecution().analyzed()
    _refuse(json.loads(plan.toJSON()))
    conditions: list[str] = []
    scope = _scope(jvm, source, plan, conditions)
    condition = " AND ".join(map(wrap, conditions))
    columns = {a.name(): a.exprId().id() for a in each(plan.output())}
    columns = {c: scope.by_id[i].sql for c, i in columns.items() if wanted is None or c in wanted}
    return Compiled(columns, {f.name: f.dataType for f in result.schema.fields}, condition)


def _scope(jvm: Jvm, source: DataFrame, plan: Any, conditions: list[str]) -> Scope:
    """The columns of `plan` over the leaf; the conditions of its filters are appended, innermost first."""
    kind = name(plan)
    if kind == "LogicalRDD":
        own = {a.exprId().id(): a.name() for a in each(source._jdf.queryExecution().analyzed().output())}
        if {a.exprId().id() for a in each(plan.output())} != own.keys():
            raise DefinitionError(f"its udf cannot be used, {OTHER_FRAME}")
        by_id = {i: Lazy(partial(str, n)) for i, n in own.items()}
        return Scope(by_id, {n: by_id[i] for i, n in own.items()})
    below = _scope(jvm, source, plan.child(), conditions)
    writer = Writer(jvm, below)
    if kind == "Filter":
        conditions.append(writer.sql(_deterministic(plan.condition())))
    if kind != "Project":
        return below
    by_id, by_name = {}, {}
    for column in each(plan.projectList()):
        sql = Lazy(partial(_write, writer, column))
        by_id[column.exprId().id()] = by_name[column.name()] = sql
    return Scope(by_id, by_name)


def _write(writer: Writer, column: Any) -> str:
    return writer.sql(_deterministic(column))


def _deterministic(expression: Any) -> Any:
    if not expression.deterministic():
        raise DefinitionError(
            f"its udf is not deterministic ({expression.sql()[:80]}): use nothing but its columns"
        )
    return expression


def _refuse(plan: list[dict[str, Any]]) -> None:
    kinds = [node["class"].rsplit(".", 1)[1] for node in plan]
    for kind in kinds:
        if kind not in PLAIN:
            remedy = REMEDIES.get(kind, f"it needs {kind}: select, compute and filter columns only")
            raise DefinitionError(f"its udf cannot be used, {remedy}")
    for kind in _expressions(plan):
        if NOW.fullmatch(kind):
            raise DefinitionError(
                f"its udf asks for the current time or session ({kind}): use the event's timestamp"
            )
        if kind in PYTHON:
            raise DefinitionError(
                "its udf calls Python code for each row: write it with pyspark.sql.functions"
            )
        if kind in SUBQUERIES:
            raise DefinitionError("its udf has a subquery: transform its argument alone")


def _expressions(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if ".expressions." in tree.get("class", ""):
            yield tree["class"].rsplit(".", 1)[1]
        for value in tree.values():
            yield from _expressions(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _expressions(value)


def _read_back(source: DataFrame, expressions: list[str]) -> None:
    try:
        source.selectExpr(*filter(None, expressions))
    except PySparkException:
        pass  # one by one, to name the culprit
    else:
        return
    for sql in filter(None, expressions):
        try:
            source.selectExpr(sql)
        except PySparkException as error:
            raise DefinitionError(
                f"its udf uses {sql[:120]!r}, which Spark cannot read back as SQL: express it otherwise"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Spark logs every analysis error with its stack; here each becomes one line of ours."""
    loggers = [logging.getLogger(f"{kind}QueryContextLogger") for kind in ("SQL", "DataFrame")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
