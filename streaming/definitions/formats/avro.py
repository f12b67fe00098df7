"""Avro schema -> Spark types, as Spark's own `from_avro` reads them."""

from __future__ import annotations

import json
from typing import Any

from streaming.errors import DefinitionError

ATOMS = {
    "boolean": "boolean",
    "int": "integer",
    "long": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "bytes": "binary",
    "fixed": "binary",
    "enum": "string",
    "null": "void",
}
LOGICAL = {
    ("int", "date"): "date",
    ("long", "timestamp-millis"): "timestamp",
    ("long", "timestamp-micros"): "timestamp",
    ("long", "local-timestamp-millis"): "timestamp_ntz",
    ("long", "local-timestamp-micros"): "timestamp_ntz",
}


def columns(text: str) -> dict[str, Any]:
    """Column name -> Spark type of an Avro record. Raises DefinitionError when it is not one."""
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise DefinitionError(
            f"schema_json is not an Avro schema ({error}): write Avro's JSON form"
        ) from None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise DefinitionError("schema_json is not an Avro record: describe one message as a record")
    record = _type(schema, {}, ())
    return {field["name"]: field["type"] for field in record["fields"]}


def _type(node: Any, named: dict[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return _union(node, named, inside)
    if isinstance(node, str):
        node = named.get(node, named.get(node.rsplit(".", 1)[-1], {"type": node}))
    kind = node["type"]
    if isinstance(kind, dict | list):
        return _type(kind, named, inside)
    name = node.get("name", "")
    if name and kind in ("record", "enum", "fixed"):
        if name in inside:
            raise DefinitionError(f"Avro record {name} contains itself: Spark has no recursive types")
        named[name] = named[f"{node.get('namespace', '')}.{name}"] = node
        inside = (*inside, name)
    if kind == "record":
        fields = [
            {"name": f["name"], "type": _type(f["type"], named, inside), "nullable": True, "metadata": {}}
            for f in node["fields"]
        ]
        return {"type": "struct", "fields": fields}
    if kind == "array":
        return {"type": "array", "elementType": _type(node["items"], named, inside), "containsNull": True}
    if kind == "map":
        value = _type(node["values"], named, inside)
        return {"type": "map", "keyType": "string", "valueType": value, "valueContainsNull": True}
    logical = node.get("logicalType", "")
    if logical == "decimal" and kind in ("bytes", "fixed"):
        return f"decimal({node['precision']},{node.get('scale', 0)})"
    try:
        return LOGICAL.get((kind, logical)) or ATOMS[kind]
    except KeyError:
        raise DefinitionError(f"schema_json names Avro type {kind!r}, which it does not define") from None


def _union(options: list[Any], named: dict[str, Any], inside: tuple[str, ...]) -> Any:
    kinds = [_type(option, named, inside) for option in options if option != "null"]
    if len(kinds) == 1:
        return kinds[0]
    if set(map(str, kinds)) <= {"integer", "long"}:
        return "long"
    if set(map(str, kinds)) <= {"float", "double"}:
        return "double"
    members = [
        {"name": f"member{i}", "type": kind, "nullable": True, "metadata": {}} for i, kind in enumerate(kinds)
    ]
    return {"type": "struct", "fields": members}
