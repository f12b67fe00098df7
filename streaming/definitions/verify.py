"""Compiled udfs against the udfs themselves, on random rows that provoke."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from feast import StreamFeatureView
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from streaming.definitions.columns import Columns, struct_type, udf
from streaming.definitions.hostile import Hostile, literals
from streaming.definitions.sources import Stream
from streaming.definitions.udf import Udf, flatten
from streaming.errors import DefinitionError

ROWS = 300
EXACT = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}


def verify(
    spark: SparkSession, views: Sequence[tuple[StreamFeatureView, Stream, Columns]], known: set[str]
) -> None:
    """Raise DefinitionError for the first view whose SQL gives other rows than its udf.

    Views whose digest is `known` are passed over, and what passes is added to it.
    """
    for view, stream, columns in views:
        schema = struct_type(stream)
        held = (view.udf_string, schema.json(), columns.sql, columns.condition, spark.version, ROWS)
        digest = hashlib.blake2s(repr(held).encode()).hexdigest()
        if digest in known:
            continue
        try:
            compare(spark, udf(view), stream.struct, schema, columns, stream.renamed)
        except DefinitionError as error:
            raise DefinitionError(f"view {view.name}: {error}") from None
        known.add(digest)


def compare(
    spark: SparkSession,
    udf: Udf,
    struct: str,
    schema: StructType,
    columns: Columns,
    renamed: Mapping[str, str] | None = None,
    rows: int = ROWS,
) -> None:
    """Raise DefinitionError when `columns` gives other rows than `udf` for random rows of `schema`."""
    words, numbers = literals([*columns.sql.values(), columns.condition])
    values = [(row,) for row in Hostile(words, numbers).rows(schema, rows)]
    frame = spark.createDataFrame(values, StructType().add(struct, schema), verifySchema=False)
    try:
        wanted = _texts(udf(flatten(frame, struct, renamed or {})).select(*map(_column, columns.sql)))
    except (PySparkException, Py4JJavaError) as error:
        raise DefinitionError(
            f"its udf fails on values its columns may hold ({_cause(error)}), and one such event would stop the "
            "stream: guard against them, with a try_ function or F.when"
        ) from error
    found = _texts(_compiled(frame, columns))
    if wanted != found:
        raise DefinitionError(_difference(wanted, found))


def _column(name: str) -> Column:
    return F.col("`" + name.replace("`", "``") + "`")


def _compiled(frame: DataFrame, columns: Columns) -> DataFrame:
    kept = frame.filter(columns.condition) if columns.condition else frame
    return kept.select(*[F.expr(sql).alias(name) for name, sql in columns.sql.items()])


def _texts(frame: DataFrame) -> list[str]:
    return [row[0] for row in frame.select(F.to_json(F.struct("*"), EXACT)).collect()]


def _cause(error: PySparkException | Py4JJavaError) -> str:
    if isinstance(error, PySparkException):
        return " ".join((error.getMessage() or str(error)).split())[:160]
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    return " ".join(str(cause.toString()).split())[:160]


def _difference(wanted: list[str], found: list[str]) -> str:
    if len(wanted) != len(found):
        what = f"its filters keep {len(wanted)} random rows, as SQL {len(found)}"
    else:
        a, b = next((a, b) for a, b in zip(wanted, found, strict=True) if a != b)
        what = f"its udf makes {a[:200]} of a random row, as SQL {b[:200]}"
    return f"{what}: simplify the udf's expressions"
