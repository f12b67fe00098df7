"""A message is one JSON value: whatever stands behind it, the message is quarantined as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql.types import StringType, StructType, TimestampType

from streaming import source
from streaming.plan import Source

SCHEMA = StructType().add("id", StringType()).add("at", TimestampType()).add("text", StringType())
ONE = '{"id": "a", "at": "2026-03-01T12:00:00Z", "text": "x"}'
SOURCE = Source("events", "events", "", "json", SCHEMA.json(), "at", "id")


def codes(spark: Any, texts: list[str]) -> dict[str, int]:
    rows = [("events", 0, i, text.encode()) for i, text in enumerate(texts)]
    raw = spark.createDataFrame(rows, "topic string, partition int, offset long, value binary")
    raw = raw.selectExpr("*", "timestamp'2026-03-01 12:00:01' timestamp")
    found = source.admit(raw, [SOURCE]).orderBy("_offset").select("_code").collect()
    return {text: row._code for text, row in zip(texts, found, strict=True)}


BEHIND = [
    *('"b"', "1", "x", "{}", ONE, "null", "]", "}", "]]", "}}", ":", ": 1"),
    *(
        ",",
        ',"b"',
        ',"b": 2',
        ', "b": 2, "c": {}',
        f',"record": {ONE}',
        f", {ONE}",
        ", 1",
        ',"_closed": true',
    ),
    *(
        "],[1",
        '],"b":[1',
        f"],[{ONE}",
        '},{"b":1',
        '},"b":{"c":1',
        ',"_closed":true}',
        ',"b":[',
        ',"b":{',
        ',"b":"',
    ),
]


def test_what_stands_behind_a_value_makes_the_message_malformed(spark: Any) -> None:
    spaces = ["", " ", "\n"]
    found = codes(spark, [ONE + space + text for text in BEHIND for space in spaces])
    assert len(found) == len(BEHIND) * len(spaces)
    assert {text: code for text, code in found.items() if code != source.MALFORMED} == {}


@pytest.mark.parametrize(
    "text",
    [
        ONE,
        f" \n{ONE}\r\n\t",
        ONE.replace('"', "'"),
        ONE.replace('"x"', "NaN"),
        ONE.replace('"x"', '"},{"'),
        ONE.replace('"x"', '"],[\\",\\"b\\":2"'),
        ONE.replace('"x"', '{"record": [{}, {"_closed": null}]}'),
        ONE.replace('"x"}', '"x", "more": [[1], {"a": [2]}]}'),
        ONE.replace('"x"', '"\\u00e9"'),
    ],
)
def test_one_value_is_admitted_whatever_is_in_it(spark: Any, text: str) -> None:
    assert codes(spark, [text]) == {text: 0}
