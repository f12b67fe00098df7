"""What a message holds: Feast's message formats, read as Spark's struct type.

Types are Spark's JSON form (`"double"`, `{"type": "array", ...}`), as plain Python values, so that a
reader of features needs no Spark.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from feast import KafkaSource
from feast.data_format import AvroFormat, JsonFormat
from feast.repo_config import RepoConfig

from streaming.definitions.formats import avro, batch, ddl, json_schema
from streaming.errors import DefinitionError

SparkType = str | dict[str, Any]


@dataclass(frozen=True)
class Message:
    """The parsed form of a source's messages: columns with their Spark types, and what is never null."""

    format: Literal["json", "avro"]
    columns: dict[str, SparkType]
    required: tuple[str, ...] = ()
    avro_schema: str = ""

    def spark_json(self) -> str:
        """Spark's JSON form of the struct of all columns."""
        return json.dumps(struct(self.columns))


def struct(columns: dict[str, SparkType]) -> dict[str, Any]:
    """Spark's JSON form of a struct whose fields may all be null."""
    fields = [{"name": n, "type": t, "nullable": True, "metadata": {}} for n, t in columns.items()]
    return {"type": "struct", "fields": fields}


def message(source: KafkaSource, config: RepoConfig) -> Message:
    """The columns of `source`: from its message format or, where that is empty, its batch source.

    JsonFormat may hold a JSON Schema or, as in Feast's documentation, a Spark DDL string.
    Raises DefinitionError when there is neither, or a type has no counterpart in Spark.
    """
    declared = source.kafka_options.message_format
    if not isinstance(declared, JsonFormat | AvroFormat):
        raise DefinitionError(
            f"source {source.name}: {type(declared).__name__} cannot be read: use JsonFormat or AvroFormat"
        )
    text = declared.schema_json.strip()
    try:
        if isinstance(declared, AvroFormat):
            if not text:
                raise DefinitionError(
                    "Avro messages need their schema: put it into AvroFormat(schema_json=...)"
                )
            return Message("avro", avro.columns(text), (), text)
        if text.startswith("{"):
            columns, required = json_schema.columns(text)
            return Message("json", columns, required)
        return Message("json", ddl.columns(text) if text else batch.columns(source, config))
    except DefinitionError as error:
        raise DefinitionError(f"source {source.name}: {error}") from None
