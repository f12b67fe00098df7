"""Columns of a stream whose message format says nothing: those of its batch source."""

from __future__ import annotations

from typing import Any

from feast import KafkaSource
from feast.repo_config import RepoConfig
from feast.value_type import ValueType

from streaming.errors import DefinitionError

TYPES: dict[ValueType, Any] = {
    ValueType.STRING: "string",
    ValueType.JSON: "string",
    ValueType.UUID: "string",
    ValueType.TIME_UUID: "string",
    ValueType.BYTES: "binary",
    ValueType.INT32: "integer",
    ValueType.INT64: "long",
    ValueType.FLOAT: "float",
    ValueType.DOUBLE: "double",
    ValueType.BOOL: "boolean",
    ValueType.UNIX_TIMESTAMP: "timestamp",
    ValueType.ZONED_TIMESTAMP: "timestamp",
}


def columns(source: KafkaSource, config: RepoConfig) -> dict[str, Any]:
    """Column name -> Spark type. Columns of a type that Spark's readers do not share are left out.

    Raises DefinitionError when the batch source cannot be read.
    """
    remedy = "write its schema into the message format, as JsonFormat(schema_json='user_id STRING, ...')"
    batch_source = source.batch_source
    if batch_source is None:
        raise DefinitionError(f"it has neither a message schema nor a batch source: {remedy}")
    try:
        described = list(batch_source.get_table_column_names_and_types(config))
    except Exception as error:  # each store raises its own errors
        reason = " ".join(str(error).split())[:120]
        raise DefinitionError(
            f"its message format has no schema and batch source {batch_source.name} cannot be read ({reason}): {remedy}"
        ) from error
    to_feast = batch_source.source_datatype_to_feast_value_type()
    types = {}
    for name, described_type in described:
        spark_type = _spark_type(to_feast, described_type)
        if spark_type is not None:
            types[name] = spark_type
    return types


def _spark_type(to_feast: Any, described: str) -> Any:
    try:
        value_type = to_feast(described.replace("list<element: ", "list<item: "))
    except (KeyError, ValueError):
        return "date" if described.startswith("date") else None
    if value_type in TYPES:
        return TYPES[value_type]
    element = TYPES.get(ValueType.__members__.get(value_type.name.removesuffix("_LIST"), ValueType.UNKNOWN))
    if value_type.name.endswith("_LIST") and element is not None:
        return {"type": "array", "elementType": element, "containsNull": True}
    return None
