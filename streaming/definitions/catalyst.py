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
PATH = re.compile(r"[\w.`\[\]]+")
LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'")
CALL = re.compile(r"\w*\(")
LONGEST = 50_000


class Jvm:
    """What a writer needs of the JVM; every name that py4j resolves is a round trip, so they are kept."""

    def __init__(self, spark: SparkSession) -> None:
        self.gateway = spark._sc._gateway
        jvm = spark._jvm
        self._list = jvm.java.util.ArrayList  # type: ignore[union-attr]
        self._to_seq = jvm.org.apache.spark.api.python.PythonUtils.toSeq  # type: ignore[union-attr]
        self._attribute = jvm.org.apache.spark.sql.catalyst.expressions.AttributeReference  # type: ignore[union-attr]
        self._next_id = jvm.org.apache.spark.sql.catalyst.expressions.NamedExpression.newExprId  # type: ignore[union-attr]
        self._metadata = jvm.org.apache.spark.sql.types.Metadata.empty()  # type: ignore[union-attr]
        self._null = getattr(getattr(jvm.org.apache.spark.sql.types, "NullType$"), "MODULE$")  # type: ignore[union-attr]
        self._markers: dict[int, Any] = {}
        self._replaced: dict[str, bool] = {}

    def seq(self, items: list[Any]) -> Any:
        """A Scala Seq."""
        held = self._list()
        for item in items:
            held.add(item)
        return self._to_seq(held)

    def marker(self, place: int, data_type: Any = None) -> Any:
        """An attribute called __argument_<place>__."""
        if data_type is None and place in self._markers:
            return self._markers[place]
        type_ = self._null if data_type is None else data_type
        made = self._attribute(
            f"__argument_{place}__", type_, True, self._metadata, self._next_id(), self.seq([])
        )
        if data_type is None:
            self._markers[place] = made
        return made

    def replaced(self, node: Any, kind: str) -> bool:
        """Whether Spark replaces the function by another, whose children are not its arguments."""
        if kind not in self._replaced:
            self._replaced[kind] = is_instance_of(self.gateway, node, f"{EXPRESSIONS}.InheritAnalysisRules")
        return self._replaced[kind]


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

    jvm: Jvm
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
            return ".".join([wrap(column), *map(_quote, rest)]) if rest else column
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
        if self.jvm.replaced(node, kind):
            arguments = [self._sql(p) for p in each(node.parameters())]
            if kind == "Extract":
                return f"date_part({', '.join(arguments)})"
            return node.makeSQLString(self.jvm.seq(arguments))
        children = list(each(node.children()))
        if kind == "CreateNamedStruct":
            return f"named_struct({', '.join(map(self._sql, children))})"
        if kind in ("GetStructField", "GetArrayStructFields"):
            name_ = node.extractFieldName() if kind == "GetStructField" else node.field().name()
            return f"{wrap(self._sql(children[0]))}.{_quote(name_)}"
        return self._filled(node, children) if children else node.sql()

    def _filled(self, node: Any, children: list[Any]) -> str:
        """Spark's text of `node` with a marker for each argument, and the arguments put in."""
        kinds = [name(child) for child in children]
        texts = {}
        for place, (child, kind) in enumerate(zip(children, kinds, strict=True)):
            if kind == "LambdaFunction":
                texts[child.sql()] = self._sql(child)
            elif kind != "Literal":
                texts[f"__argument_{place}__"] = wrap(self._sql(child))
        # Some functions look into their literal arguments when they are printed, a few at the types of others.
        try:
            text = self._marked(node, children, kinds, typed=False)
        except Py4JError:
            text = self._marked(node, children, kinds, typed=True)
        pattern = "|".join(re.escape(marker) for marker in sorted(texts, key=len, reverse=True))
        return re.sub(pattern, lambda found: texts[found[0]], text) if pattern else text

    def _marked(self, node: Any, children: list[Any], kinds: list[str], typed: bool) -> str:
        marked = [
            child
            if kind in ("Literal", "LambdaFunction")
            else self.jvm.marker(place, child.dataType() if typed else None)
            for place, (child, kind) in enumerate(zip(children, kinds, strict=True))
        ]
        return node.withNewChildren(self.jvm.seq(marked)).sql()

    def _present(self, node: Any) -> str:
        """`dropna`: at least n of the children are neither null nor NaN."""
        terms = []
        for child in each(node.children()):
            sql = self._sql(child)
            number = child.dataType().typeName() in ("double", "float")
            test = f"{wrap(sql)} IS NOT NULL" + (f" AND NOT isnan({sql})" if number else "")
            terms.append(f"CASE WHEN {test} THEN 1 ELSE 0 END")
        return f"(({' + '.join(terms)}) >= {node.n()})"


def _quote(part: str) -> str:
    return "`" + part.replace("`", "``") + "`"


def wrap(sql: str) -> str:
    """`sql` in parentheses, unless it already is one term."""
    blank = LITERAL.sub(lambda found: "_" * len(found[0]), sql)
    return sql if PATH.fullmatch(blank) or _closed(blank) else f"({sql})"


def _closed(sql: str) -> bool:
    """Whether the text, without literals, is one parenthesised group or one call of a function."""
    head = CALL.match(sql)
    if head is None:
        return False
    depth = 0
    for place in range(head.end() - 1, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[place], 0)
        if depth == 0:
            return place == len(sql) - 1
    return False
