"""JSON Schema (of one message) -> Spark types."""

from __future__ import annotations

import json
from typing import Any

from streaming.errors import DefinitionError

FORMATS = {"date-time": "timestamp", "date": "date"}
ATOMS = {"integer": "long", "number": "double", "boolean": "boolean", "null": "void"}


def columns(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Columns of a JSON Schema, and those that are `required` and may not be null.

    `$ref` is followed inside the document; a property that may be null is nullable; a union of
    different types, or an object without properties, is held as its JSON text.
    Raises DefinitionError when the text is not the JSON Schema of an object.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DefinitionError(
            f"schema_json is not JSON ({error}): write a JSON Schema or a Spark DDL string"
        ) from None
    root, _ = _resolve(document, document, ())
    if "properties" not in root:
        raise DefinitionError(
            "schema_json has no properties: write the JSON Schema of one message, an object"
        )
    types, never_null = {}, []
    for name, node in root["properties"].items():
        kind, nullable = _type(node, document, ())
        types[name] = "string" if kind == "void" else kind
        if name in root.get("required", ()) and not nullable:
            never_null.append(name)
    return types, tuple(never_null)


def _resolve(
    node: Any, document: dict[str, Any], seen: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    while isinstance(node, dict) and "$ref" in node:
        reference = node["$ref"]
        if reference in seen:
            raise DefinitionError(
                f"schema_json refers to {reference} within itself: Spark has no recursive types"
            )
        seen = (*seen, reference)
        node = document
        if not reference.startswith("#"):
            raise DefinitionError(
                f"schema_json refers to {reference}: put that schema into the document's $defs"
            )
        for step in filter(None, reference[1:].split("/")):
            try:
                node = node[step.replace("~1", "/").replace("~0", "~")]
            except (KeyError, TypeError):
                raise DefinitionError(
                    f"schema_json refers to {reference}, which it does not contain"
                ) from None
    return (node if isinstance(node, dict) else {}), seen


def _type(node: Any, document: dict[str, Any], seen: tuple[str, ...]) -> tuple[Any, bool]:
    """(Spark type, whether null is allowed)."""
    node, seen = _resolve(node, document, seen)
    choices = node.get("anyOf") or node.get("oneOf")
    if choices is None and len(node.get("allOf", ())) == 1:
        choices = node["allOf"]
    if choices is None and isinstance(node.get("type"), list):
        choices = [{**node, "type": one} for one in node["type"]]
    if choices:
        return _union([_type(choice, document, seen) for choice in choices])
    values = node.get("enum", [node["const"]] if "const" in node else None)
    kind = node.get("type")
    if kind is None and values:
        return _union([_of_value(value) for value in values])
    nullable = kind == "null" or kind is None or bool(values and None in values)
    if kind == "string":
        return FORMATS.get(node.get("format", ""), "string"), nullable
    if kind == "array":
        element, _ = _type(node.get("items", {}), document, seen)
        return {"type": "array", "elementType": element, "containsNull": True}, nullable
    if kind == "object":
        return _object(node, document, seen), nullable
    return ATOMS.get(kind, "string") if isinstance(kind, str) else "string", nullable


def _of_value(value: Any) -> tuple[Any, bool]:
    names = {bool: "boolean", int: "long", float: "double"}
    return ("void", True) if value is None else (names.get(type(value), "string"), False)


def _union(options: list[tuple[Any, bool]]) -> tuple[Any, bool]:
    nullable = any(null for _, null in options)
    held: list[Any] = []
    for kind, _ in options:
        if kind != "void" and kind not in held:
            held.append(kind)
    if not held:
        return "void", True
    if len(held) == 1:
        return held[0], nullable
    return ("double" if all(kind in ("long", "double") for kind in held) else "string"), nullable


def _object(node: dict[str, Any], document: dict[str, Any], seen: tuple[str, ...]) -> Any:
    if node.get("properties"):
        fields = [
            {"name": name, "type": _type(value, document, seen)[0], "nullable": True, "metadata": {}}
            for name, value in node["properties"].items()
        ]
        return {"type": "struct", "fields": fields}
    values = node.get("additionalProperties")
    if isinstance(values, dict) and values:
        value, _ = _type(values, document, seen)
        return {"type": "map", "keyType": "string", "valueType": value, "valueContainsNull": True}
    return "string"
