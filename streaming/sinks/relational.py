"""Batches as relational databases take them: plain columns, and names and types in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DecimalType,
    MapType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

NAME_BYTES = 63
FIRST, LAST = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"


def table_name(path: str) -> str:
    """One SQL name for a table's path; a long one ends in a hash of the whole."""
    name = path.replace("/", "_")
    if len(name.encode()) <= NAME_BYTES:
        return name
    return (
        name.encode()[: NAME_BYTES - 9].decode(errors="ignore")
        + "_"
        + hashlib.blake2s(name.encode(), digest_size=4).hexdigest()
    )


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def nested(type_: DataType) -> bool:
    return isinstance(type_, ArrayType | MapType | StructType)


def sql_type(type_: DataType, names: Mapping[str, str]) -> str:
    """A column's type in SQL, of `names` by Spark's name; `nested` and `decimal` are names too."""
    if nested(type_):
        return names["nested"]
    if isinstance(type_, DecimalType):
        return f"{names['decimal']}({type_.precision},{type_.scale})"
    return names[type_.typeName()]


def plain(batch: DataFrame, *, longest: int | None = None) -> DataFrame:
    """The same rows with text in place of what is nested (JSON) or binary (hex, after a backslash and an x).

    What no database takes is left out: the character NUL of texts, and moments outside of the years 1 to
    9999, which become null. Texts of more than `longest` bytes are cut.
    """
    return batch.select(*[_plain(f.name, f.dataType, longest).alias(f.name) for f in batch.schema.fields])


def _plain(name: str, type_: DataType, longest: int | None) -> Column:
    column = F.col(f"`{name.replace('`', '``')}`")
    if isinstance(type_, TimestampType | TimestampNTZType):
        return F.when(column.between(F.lit(FIRST).cast(type_), F.lit(LAST).cast(type_)), column)
    if isinstance(type_, BinaryType):
        text = F.concat(F.lit("\\x"), F.hex(column))
    elif nested(type_):
        # As JSON writes NUL.
        text = F.regexp_replace(F.to_json(column), r"\\u0000", "")
    elif isinstance(type_, StringType):
        text = F.translate(column, "\0", "")
    else:
        return column
    if longest is None:
        return text
    # A character takes four bytes at most.
    return F.when(F.octet_length(text) <= longest, text).otherwise(F.substring(text, 1, longest // 4))
