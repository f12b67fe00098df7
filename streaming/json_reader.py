"""JSON messages read from their bytes: a parse of the usual form that takes a fraction of `from_json`'s time.

`java/JsonReader.java` reads what it knows for certain that `from_json` would read in the same way, and nothing
else, so that `coalesce` of the two is `from_json`. Spark's own compiler makes the class when a session first asks.
"""

from __future__ import annotations

from typing import Any

from pyspark import SparkContext
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructType

from streaming import janino

CLASS = "JsonReader"
KINDS = {
    "string": "s",
    "double": "d",
    "bigint": "l",
    "int": "i",
    "boolean": "b",
    "timestamp": "t",
    "date": "D",
    "array": "a",
    "map": "m",
    "struct": "r",
}
OTHER = "-"
ELEMENT = "element"
LEGACY = "spark.sql.legacy.timeParserPolicy"


def fast(spark: SparkSession, value: str, schema: StructType) -> Column | None:
    """The binary column `value` as a struct of `schema`, null where it is not read; None if there is no reader.

    There is none for names that JSON would escape, nor where old rules for timestamps were asked for.
    """
    reader = None if str(spark.conf.get(LEGACY)).upper() == "LEGACY" else _reader(spark.sparkContext, schema)
    if reader is None:
        return None
    jvm: Any = spark._jvm
    sql, utils, seq = (
        jvm.org.apache.spark.sql,
        jvm.org.apache.spark.sql.classic.ExpressionUtils,
        jvm.PythonUtils.toSeq,
    )
    expressions = sql.catalyst.expressions
    call = expressions.objects.Invoke(
        expressions.Literal(reader, sql.types.ObjectType(reader.getClass())),
        "read",
        spark._jsparkSession.parseDataType(schema.json()).asNullable(),
        seq([utils.expression(F.col(value)._jc)]),
        seq([]),
        True,
        True,
        True,
    )
    return Column(utils.column(call))


def _reader(context: SparkContext, schema: StructType) -> Any:
    names = schema.fieldNames()
    plain = all(n.isascii() and n.isprintable() and not set(n) & {'"', "\\"} for n in names)
    if not names or not plain:
        return None
    gateway: Any = context._gateway
    inner = gateway.jvm.java.util.ArrayList()
    kinds = ""
    for field in schema:
        kind, nested = _kind(field.dataType)
        held = None if nested is None else _reader(context, nested)
        kinds += OTHER if nested is not None and held is None else kind
        inner.add(held)
    return janino.installed(context, CLASS, "\n".join(names), kinds, inner)


def _kind(type_: DataType) -> tuple[str, StructType | None]:
    """The letter of a type, and what an inner reader reads of it."""
    if isinstance(type_, StructType):
        return KINDS["struct"], type_
    if isinstance(type_, ArrayType):
        return KINDS["array"], StructType().add(ELEMENT, type_.elementType)
    if isinstance(type_, MapType) and type_.keyType == StringType():
        return KINDS["map"], StructType().add(ELEMENT, type_.valueType)
    return KINDS.get(type_.simpleString(), OTHER), None
