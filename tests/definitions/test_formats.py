"""Message formats as Spark types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from feast.data_format import AvroFormat, JsonFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType
from repo_parts import source

from generators import schema as contracts
from generators.contracts import STREAMS
from streaming.definitions import formats
from streaming.definitions.formats import avro, ddl, json_schema
from streaming.errors import DefinitionError

ATOMS = [
    "INT",
    "integer",
    "BIGINT",
    "long",
    "smallint",
    "TINYINT",
    "float",
    "REAL",
    "double",
    "string",
    "boolean",
]
ATOMS += [
    "DATE",
    "timestamp",
    "timestamp_ntz",
    "binary",
    "decimal",
    "DECIMAL(12,3)",
    "dec(5)",
    "numeric(9, 2)",
]
NAMES = st.sampled_from(
    ["a", "B_2", "`with space`", "`tick``s`", "date", "`a.b`", "`ünï`", "_x", "timestamp", "array"]
)


def types() -> st.SearchStrategy[str]:
    def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        fields = st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda f: f[0].lower())
        return st.one_of(
            inner.map(lambda t: f"array<{t}>"),
            inner.map(lambda t: f"MAP<string, {t}>"),
            fields.map(lambda f: "struct<" + ", ".join(f"{n}: {t}" for n, t in f) + ">"),
        )

    return st.recursive(st.sampled_from(ATOMS), nested, max_leaves=4)


def struct(columns: dict[str, Any]) -> StructType:
    return StructType.fromJson(formats.struct(columns))


@settings(max_examples=60)
@given(st.lists(st.tuples(NAMES, types()), min_size=1, max_size=4, unique_by=lambda f: f[0].lower()))
def test_ddl_is_read_as_spark_reads_it(spark: SparkSession, columns: list[tuple[str, str]]) -> None:
    text = ", ".join(f"{name} {type_}" for name, type_ in columns)
    assert struct(ddl.columns(text)) == StructType.fromDDL(text)


def test_ddl_with_notes() -> None:
    text = "struct<id: BIGINT NOT NULL COMMENT 'it''s', at TIMESTAMP COMMENT \"a, b\", c CHAR(3)>"
    assert ddl.columns(text.replace("''", "\\'")) == {"id": "long", "at": "timestamp", "c": "string"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id", "schema_json has type 'nothing', which Spark does not have"),
        ("user_id text", "schema_json has type 'text', which Spark does not have"),
        ("a INT b INT", "schema_json has 'b' where 'its end' belongs: write it as Spark DDL"),
        ("a INT,", "schema_json has 'its end' where a column's name belongs"),
        ("a INT, a STRING", "schema_json names column a twice: rename one"),
        ("a array<int", "schema_json has 'its end' where '>' belongs"),
        ("a = 3", "schema_json has '= 3', which is not Spark DDL"),
    ],
)
def test_ddl_errors(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        ddl.columns(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("stream", STREAMS)
def test_contracts_are_read_from_their_json_schema_as_they_say_of_themselves(stream: str) -> None:
    columns, required = json_schema.columns(json.dumps(contracts.json_schema(stream)))  # type: ignore[arg-type]
    own = json.loads(contracts.spark_json(stream))  # type: ignore[arg-type]
    assert columns == {f["name"]: f["type"] for f in own["fields"]}
    assert required == contracts.required(stream)  # type: ignore[arg-type]


def test_json_schema_of_every_shape() -> None:
    document = {
        "$defs": {
            "Place": {"type": "object", "properties": {"lat": {"type": "number"}, "near": {"type": "null"}}}
        },
        "type": "object",
        "required": ["id", "kind", "maybe", "listed", "gone", "nothing"],
        "properties": {
            "id": {"type": "integer"},
            "kind": {"enum": ["a", "b"]},
            "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "listed": {"type": ["string", "null"]},
            "level": {"enum": [1, 2, None]},
            "mixed": {"anyOf": [{"type": "integer"}, {"type": ["string", "null"]}]},
            "number": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
            "at": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "place": {"$ref": "#/$defs/Place"},
            "places": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "free": {"type": "object"},
            "any": {},
            "flag": {"allOf": [{"type": "boolean"}]},
            "one": {"const": "x"},
            "nothing": {"type": "null"},
        },
    }
    columns, required = json_schema.columns(json.dumps(document))
    field = {"nullable": True, "metadata": {}}
    fields = [{"name": "lat", "type": "double", **field}, {"name": "near", "type": "void", **field}]
    place = {"type": "struct", "fields": fields}
    assert columns == {
        "id": "long",
        "kind": "string",
        "maybe": "double",
        "listed": "string",
        "level": "long",
        "mixed": "string",
        "number": "double",
        "at": "timestamp",
        "day": "date",
        "place": place,
        "places": {"type": "array", "elementType": place, "containsNull": True},
        "counts": {"type": "map", "keyType": "string", "valueType": "long", "valueContainsNull": True},
        "free": "string",
        "any": "string",
        "flag": "boolean",
        "one": "string",
        "nothing": "string",
    }
    assert required == ("id", "kind")


def test_what_a_json_schema_accepts_is_parsed_by_spark(spark: SparkSession) -> None:
    document = {
        "type": "object",
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "readings": {"type": "object", "additionalProperties": {"type": "number"}},
            "mixed": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            "free": {"type": "object"},
        },
    }
    columns, _ = json_schema.columns(json.dumps(document))
    text = '{"at": "2024-01-01T00:00:00.250Z", "readings": {"x": 1.5}, "mixed": 7, "free": {"a": [1]}}'
    frame = spark.createDataFrame([(text,)], "value string")
    row = frame.select(F.from_json("value", struct(columns)).alias("v")).select("v.*").first()
    assert row is not None
    assert row.at.microsecond == 250_000
    assert (row.readings, row.mixed, row.free) == ({"x": 1.5}, "7", '{"a":[1]}')


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "schema_json is not JSON"),
        ('{"type": "object"}', "schema_json has no properties: write the JSON Schema of one message"),
        (
            '{"properties": {"a": {"$ref": "#/$defs/B"}}}',
            "schema_json refers to #/$defs/B, which it does not contain",
        ),
        (
            '{"properties": {"a": {"$ref": "http://x/y"}}}',
            "refers to http://x/y: put that schema into the document's $defs",
        ),
        (
            '{"$defs": {"T": {"properties": {"t": {"$ref": "#/$defs/T"}}, "type": "object"}}, "$ref": "#/$defs/T"}',
            "schema_json refers to #/$defs/T within itself: Spark has no recursive types",
        ),
    ],
)
def test_json_schema_errors(document: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        json_schema.columns(document)
    assert message in str(caught.value)


AVRO = {
    "type": "record",
    "name": "Ride",
    "namespace": "bikes",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "bike", "type": ["null", "int"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "again", "type": "Kind"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": ["null", "double"]}},
        {"name": "wide", "type": ["int", "long"]},
        {"name": "real", "type": ["null", "float", "double"]},
        {"name": "raw", "type": {"type": "fixed", "name": "Raw", "size": 4}},
        {
            "name": "place",
            "type": {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "float"}]},
        },
        {"name": "to", "type": ["null", "bikes.Place"]},
        {"name": "odd", "type": ["string", "int"]},
    ],
}


def test_avro_is_read_as_spark_reads_it(spark: SparkSession) -> None:
    text = json.dumps(AVRO)
    converters = getattr(spark._jvm.org.apache.spark.sql.avro, "SchemaConverters$")  # type: ignore[union-attr]
    parser = spark._jvm.org.apache.avro.Schema.Parser  # type: ignore[union-attr]
    schema = parser().parse(text)
    found = getattr(converters, "MODULE$").toSqlType(schema, False, "", -1).dataType()
    expected = json.loads(found.json())
    assert _nullable(struct(avro.columns(text)).jsonValue()) == _nullable(expected)


def _nullable(node: Any) -> Any:
    """The type with every field and element nullable and without metadata, as parsed columns are."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    forced = {"nullable": True, "containsNull": True, "valueContainsNull": True, "metadata": {}}
    return {key: forced.get(key, _nullable(value)) for key, value in node.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "schema_json is not an Avro schema"),
        ('"string"', "schema_json is not an Avro record: describe one message as a record"),
        (
            '{"type": "record", "name": "a", "fields": [{"name": "x", "type": "Y"}]}',
            "names Avro type 'Y', which",
        ),
        (
            '{"type": "record", "name": "a", "fields": [{"name": "x", "type": "a"}]}',
            "Avro record a contains itself",
        ),
    ],
)
def test_avro_errors(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        avro.columns(text)
    assert message in str(caught.value)


def test_a_message_names_its_source_in_errors_and_keeps_its_avro_schema() -> None:
    held = formats.message(source(message_format=AvroFormat(schema_json=json.dumps(AVRO))), None)  # type: ignore[arg-type]
    assert held.format == "avro"
    assert json.loads(held.avro_schema) == AVRO
    with pytest.raises(DefinitionError, match="source events: schema_json has type 'nothing'"):
        formats.message(source(message_format=JsonFormat(schema_json="a")), None)  # type: ignore[arg-type]
