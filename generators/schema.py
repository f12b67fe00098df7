"""Schemas and tables derived from the contracts: JSON Schema, Spark's struct, Markdown."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import inspect

from generators.contracts import STREAMS

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

_PLAIN: dict[type[inspect.Type], str] = {
    inspect.StrType: "string",
    inspect.LiteralType: "string",
    inspect.BoolType: "boolean",
    inspect.IntType: "long",
    inspect.FloatType: "double",
    inspect.DateTimeType: "timestamp",
    inspect.DateType: "date",
}


@cache
def _fields(stream: str) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(STREAMS[stream].contract)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _unwrap(kind: inspect.Type) -> tuple[inspect.Type, bool, str, frozenset[str]]:
    """(type, nullable, description, marks) of an annotated type."""
    nullable, description, marks = False, "", frozenset[str]()
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            description = description or str((kind.extra_json_schema or {}).get("description", ""))
            marks |= {str(mark) for mark in kind.extra or {}}
            kind = kind.type
        else:
            nullable = True
            (kind,) = (t for t in kind.types if not isinstance(t, inspect.NoneType))
    return kind, nullable, description, marks


def _spark_type(kind: inspect.Type) -> Any:
    kind = _unwrap(kind)[0]
    if isinstance(kind, inspect.ListType):
        return {"type": "array", "elementType": _spark_type(kind.item_type), "containsNull": True}
    if isinstance(kind, inspect.DictType):
        return {
            "type": "map",
            "keyType": _spark_type(kind.key_type),
            "valueType": _spark_type(kind.value_type),
            "valueContainsNull": True,
        }
    return _PLAIN[type(kind)]


def field_names(stream: str, which: Literal["all", "inputs", "labels"] = "all") -> tuple[str, ...]:
    """Fields of a stream in order; `inputs` are those a feature may read, `labels` the truth."""
    wanted = {"all": (True, False), "inputs": (False,), "labels": (True,)}[which]
    return tuple(f.encode_name for f in _fields(stream) if ("label" in _unwrap(f.type)[3]) in wanted)


def personal(stream: str) -> tuple[str, ...]:
    """Fields that are about a person: they reach no log, metric or alert."""
    return tuple(f.encode_name for f in _fields(stream) if "personal" in _unwrap(f.type)[3])


def required(stream: str) -> tuple[str, ...]:
    """Fields that are never null."""
    return tuple(f.encode_name for f in _fields(stream) if not _unwrap(f.type)[1])


def json_schema(stream: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of one message, self-contained."""
    (reference,), components = msgspec.json.schema_components(
        [STREAMS[stream].contract], ref_template="#/$defs/{name}"
    )
    name = reference["$ref"].rsplit("/", 1)[1]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_typed(components[name])}


def _typed(node: Any) -> Any:
    """The same schema with the type of every enumeration spelled out; msgspec leaves it to the reader."""
    if isinstance(node, list):
        return [_typed(item) for item in node]
    if not isinstance(node, dict):
        return node
    typed = {key: _typed(value) for key, value in node.items()}
    if "enum" in typed and None in typed["enum"]:
        typed["type"] = ["string", "null"]
    elif "enum" in typed:
        typed["type"] = "string"
    return typed


def spark_json(stream: str) -> str:
    """Spark's own JSON form of the struct that `from_json` parses a message into."""
    fields = [
        {
            "name": f.encode_name,
            "type": _spark_type(f.type),
            "nullable": True,
            "metadata": {"comment": _unwrap(f.type)[2]},
        }
        for f in _fields(stream)
    ]
    return json.dumps({"type": "struct", "fields": fields})


def spark_schema(stream: str) -> StructType:
    """The same as a pyspark StructType; pyspark is imported only here."""
    from pyspark.sql.types import StructType

    return StructType.fromJson(json.loads(spark_json(stream)))


def docs_table(stream: str) -> str:
    """A Markdown table of the fields: name, Spark type, its marks and whether it can be null, meaning."""
    rows = ["| field | type | | meaning |", "|---|---|---|---|"]
    for f in _fields(stream):
        _, nullable, description, marks = _unwrap(f.type)
        kind = _spark_type(f.type)
        if isinstance(kind, dict):
            inner = kind.get("elementType") or f"{kind['keyType']},{kind['valueType']}"
            kind = f"{kind['type']}<{inner}>"
        notes = ", ".join([*sorted(marks), *(["nullable"] if nullable else [])])
        rows.append(f"| `{f.encode_name}` | {kind} | {notes} | {description} |")
    return "\n".join(rows)


def docs_page() -> str:
    """docs/events.md: every stream with its topic, key, event id and fields."""
    parts = ["# Events", "", "Made by `python -m generators.schema` from `generators/contracts.py`.", ""]
    for s in STREAMS.values():
        summary = (s.contract.__doc__ or "").split(" Key:")[0]
        parts += [
            f"## {s.name}",
            "",
            f"{summary} Topic `{s.topic}`, key `{s.key}`, event id `{s.event_id}`.",
            "",
        ]
        parts += [docs_table(s.name), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    print(docs_page(), end="")
