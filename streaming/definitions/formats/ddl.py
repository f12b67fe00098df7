"""Spark's DDL strings, such as `driver_id integer, event_timestamp timestamp, tags array<string>`."""

from __future__ import annotations

import re
from typing import Any

from streaming.errors import DefinitionError

TOKEN = re.compile(r"\s*(`(?:[^`]|``)*`|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\w+|[<>,:()])")
ATOMS = {
    "boolean": "boolean",
    "tinyint": "byte",
    "byte": "byte",
    "smallint": "short",
    "short": "short",
    "int": "integer",
    "integer": "integer",
    "bigint": "long",
    "long": "long",
    "float": "float",
    "real": "float",
    "double": "double",
    "string": "string",
    "binary": "binary",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp_ltz": "timestamp",
    "timestamp_ntz": "timestamp_ntz",
}


def columns(text: str) -> dict[str, Any]:
    """Column name -> Spark type of a DDL string, optionally wrapped in struct<...>.

    Raises DefinitionError, naming the place, when the string is not DDL.
    """
    parser = _Parser(text)
    parsed = parser.type() if parser.peek().lower() == "struct" else {"fields": parser.fields(end="")}
    parser.expect("")
    return {field["name"]: field["type"] for field in parsed["fields"]}


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        place = 0
        while text[place:].strip():
            match = TOKEN.match(text, place)
            if match is None:
                raise DefinitionError(
                    f"schema_json has {text[place:].strip()[:20]!r}, which is not Spark DDL"
                )
            self.tokens.append(match[1])
            place = match.end()
        self.tokens.append("")

    def peek(self) -> str:
        return self.tokens[0]

    def next(self) -> str:
        return self.tokens.pop(0) if self.tokens[0] else ""

    def expect(self, token: str) -> None:
        if self.peek() != token:
            raise DefinitionError(
                f"schema_json has {self.peek() or 'its end'!r} where {token or 'its end'!r} belongs: write it as "
                "Spark DDL, like 'driver_id BIGINT, event_timestamp TIMESTAMP', or as a JSON Schema"
            )
        self.next()

    def fields(self, end: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = []
        while True:
            name = self.next()
            if not re.match(r"\w|`", name):
                raise DefinitionError(f"schema_json has {name or 'its end'!r} where a column's name belongs")
            if name.startswith("`"):
                name = name[1:-1].replace("``", "`")
            if self.peek() == ":":
                self.next()
            type_ = self.type()
            if self.peek().lower() == "not":
                self.next()
                self.next()
            if self.peek().lower() == "comment":
                self.next()
                self.next()
            if any(field["name"] == name for field in result):
                raise DefinitionError(f"schema_json names column {name} twice: rename one")
            result.append({"name": name, "type": type_, "nullable": True, "metadata": {}})
            if self.peek() != ",":
                break
            self.next()
        if end:
            self.expect(end)
        return result

    def type(self) -> Any:
        word = self.next()
        name = word.lower()
        if name in ATOMS:
            return ATOMS[name]
        if name in ("decimal", "dec", "numeric"):
            return self._decimal()
        if name in ("varchar", "char"):
            self.expect("(")
            self.next()
            self.expect(")")
            return "string"
        if name not in ("array", "map", "struct"):
            raise DefinitionError(f"schema_json has type {word or 'nothing'!r}, which Spark does not have")
        self.expect("<")
        if name == "struct":
            return {"type": "struct", "fields": self.fields(end=">")}
        key = self.type()
        if name == "array":
            self.expect(">")
            return {"type": "array", "elementType": key, "containsNull": True}
        self.expect(",")
        value = self.type()
        self.expect(">")
        return {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": True}

    def _decimal(self) -> str:
        precision, scale = "10", "0"
        if self.peek() == "(":
            self.next()
            precision = self.next()
            if self.peek() == ",":
                self.next()
                scale = self.next()
            self.expect(")")
        return f"decimal({precision},{scale})"
