"""Spark's analysed expressions, written as SQL that Spark reads back to the same expression.

Spark's own `sql` of an expression loses lambdas and, once selections are merged, the arguments of
functions that it replaces by others. So an expression is written from its leaves up, each node by
Spark with markers in place of its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from streaming.errors import DefinitionError

EXPRESSIONS = "org.apache.spark.sql.catalyst.expressions"
PATH = re.compile(r"[\w.`]+")
LONGEST = 50_000


class Lazy:
    """A column's SQL, written when it is first asked for: of a wide message few columns are used."""

    def __init__(self, write: Callable[[], str]) -> None:
        self.write = write

    @cached_property
    def sql(self) -> str:
        return self.write()


@dataclass(frozen=True)
class Scope:
    """What the columns of a plan's node are over the leaf: by expression id and by name."""

    by_id: Mapping[int, Lazy]
    by_name: Mapping[str, Lazy]


def name(node: Any) -> str:
    """Simple class name of a plan's node or an expression."""
    return node.getClass().getSimpleName()


def each(seq: Any) -> Iterator[Any]:
    """The elements of a Scala Seq."""
    return (seq.apply(i) for i in range(seq.size()))


@dataclass
class Writer:
    """Writes the expressions of one level of a plan; `scope` are the columns of the level below."""

    spark: SparkSession
    scope: Scope
    variables: dict[str, str] = field(default_factory=dict)

    def sql(self, expression: Any) -> str:
        """Raises DefinitionError when the expression has no SQL form."""
        try:
            text = self._sql(expression)
        except Py4JError as error:
            raise DefinitionError(
                f"its udf uses {name(expression)}, which Spark cannot write as SQL: express it otherwise"
            ) from error
        if len(text) > LONGEST:
            raise DefinitionError("its udf grows beyond 50,000 characters of SQL: compute with fewer steps")
        return text

    def _sql(self, node: Any) -> str:
        kind = name(node)
        if kind == "AttributeReference":
            return self.scope.by_id[node.exprId().id()].sql
        if kind == "UnresolvedAttribute":
            first, *rest = list(each(node.nameParts()))
            column = self.scope.by_name[first].sql
            return ".".join([_wrap(column), *map(_quote, rest)]) if rest else column
        if kind == "Alias":
            return self._sql(node.child())
        if kind == "NamedLambdaVariable":
            return self.variables.setdefault(node.exprId().toString(), f"v{len(self.variables)}")
        if kind == "UnresolvedNamedLambdaVariable":
            return self.variables.setdefault(node.sql(), f"v{len(self.variables)}")
        if kind == "LambdaFunction":
            arguments = [self._sql(a) for a in each(node.arguments())]
            head = arguments[0] if len(arguments) == 1 else f"({', '.join(arguments)})"
            return f"{head} -> {self._sql(node.function())}"
        if kind == "AtLeastNNonNulls":
            return self._present(node)
        if is_instance_of(self.spark._sc._gateway, node, f"{EXPRESSIONS}.InheritAnalysisRules"):
            return node.makeSQLString(self._seq([self._sql(p) for p in each(node.parameters())]))
        children = list(each(node.children()))
        if kind == "CreateNamedStruct":
            return f"named_struct({', '.join(map(self._sql, children))})"
        return self._filled(node, children) if children else node.sql()

    def _filled(self, node: Any, children: list[Any]) -> str:
        """Spark's text of `node` with a marker for each argument, and the arguments put in."""
        marked, texts = [], {}
        for i, child in enumerate(children):
            if name(child) in ("Literal", "LambdaFunction"):
                # Some functions look into their literal arguments when they are printed.
                marked.append(child)
                texts[child.sql()] = self._sql(child)
            else:
                marked.append(self._marker(f"__argument_{i}__", child.dataType()))
                texts[f"__argument_{i}__"] = _wrap(self._sql(child))
        text: str = node.withNewChildren(self._seq(marked)).sql()
        markers = [
            re.escape(m)
            for m in sorted(texts, key=len, reverse=True)
            if m.startswith(("__argument_", "lambda"))
        ]
        return re.sub("|".join(markers), lambda found: texts[found[0]], text) if markers else text

    def _marker(self, text: str, data_type: Any) -> Any:
        jvm = self.spark._jvm
        expressions = jvm.org.apache.spark.sql.catalyst.expressions  # type: ignore[union-attr]
        metadata = jvm.org.apache.spark.sql.types.Metadata.empty()  # type: ignore[union-attr]
        return expressions.AttributeReference(
            text, data_type, True, metadata, expressions.NamedExpression.newExprId(), self._seq([])
        )

    def _seq(self, items: list[Any]) -> Any:
        jvm = self.spark._jvm
        java = jvm.java.util.ArrayList()  # type: ignore[union-attr]
        for item in items:
            java.add(item)
        return jvm.org.apache.spark.api.python.PythonUtils.toSeq(java)  # type: ignore[union-attr]

    def _present(self, node: Any) -> str:
        """`dropna`: at least n of the children are neither null nor NaN."""
        terms = []
        for child in each(node.children()):
            sql = self._sql(child)
            number = child.dataType().typeName() in ("double", "float")
            test = f"{_wrap(sql)} IS NOT NULL" + (f" AND NOT isnan({sql})" if number else "")
            terms.append(f"CASE WHEN {test} THEN 1 ELSE 0 END")
        return f"(({' + '.join(terms)}) >= {node.n()})"


def _quote(part: str) -> str:
    return "`" + part.replace("`", "``") + "`"


def _wrap(sql: str) -> str:
    return sql if PATH.fullmatch(sql) else f"({sql})"
