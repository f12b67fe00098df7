"""The tables of the history store: names, columns and keys."""

from __future__ import annotations

from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DateType,
    IntegerType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)

from streaming.errors import DefinitionError
from streaming.plan import Source
from streaming.sinks import Table
from streaming.source import struct_type

PLACE = ("_topic", "_partition", "_offset")
ADDED = ("_topic", "_partition", "_offset", "_arrived", "_late", "_created", "event_date")
"""Columns that an events table has beside its source's own."""


def events(source: Source) -> Table:
    """Every admitted event of a source, once. Raises DefinitionError when a column's name is taken."""
    schema = StructType(list(struct_type(source).fields))
    taken = {name.lower() for name in schema.names} & set(ADDED)
    if taken:
        raise DefinitionError(
            f"source {source.name} has a column {min(taken)}, which is the history's own: rename it in the messages"
        )
    schema.add("_topic", StringType()).add("_partition", IntegerType()).add("_offset", LongType())
    schema.add("_arrived", TimestampType()).add("_late", BooleanType()).add("_created", TimestampType())
    return Table(f"events/{source.name}", schema.add("event_date", DateType()), PLACE, "event_date")


QUARANTINE = Table(
    "quarantine",
    StructType()
    .add("_source", StringType())
    .add("_topic", StringType())
    .add("_partition", IntegerType())
    .add("_offset", LongType())
    .add("_arrived", TimestampType())
    .add("_reason", StringType())
    .add("_value", BinaryType())
    .add("date", DateType()),
    PLACE,
    "date",
)
"""Every message that was not admitted, once, with the reason."""


def messages(topic: str) -> Table:
    """Every message of a topic that is kept as it is, once; `value` is its text."""
    schema = StructType().add("key", StringType()).add("value", StringType())
    schema.add("_topic", StringType()).add("_partition", IntegerType()).add("_offset", LongType())
    schema.add("_arrived", TimestampType()).add("date", DateType())
    return Table(f"topics/{topic}", schema, PLACE, "date")


FEATURE_LOG = Table(
    "feature_log",
    StructType()
    .add("view", StringType())
    .add("entity", StringType())
    .add("event_timestamp", TimestampType())
    .add("batch", LongType())
    .add("features", StringType())
    .add("_partition", IntegerType())
    .add("_offset", LongType())
    .add("_arrived", TimestampType())
    .add("date", DateType()),
    ("_partition", "_offset"),
    "date",
)
"""Every message of the topic feature-updates, once; `entity` and `features` are JSON objects."""
