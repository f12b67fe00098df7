"""Messages come out of the JVM as they went in, call by call, whatever the calls before were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.errors import SparkRuntimeException
from pyspark.sql.pandas.types import to_arrow_schema

from streaming import expressions
from streaming.errors import ServiceError
from streaming.expressions import RAW, Expressions, Message

STAMP = 1_772_323_200_123
BAD = Message("t", 0, 0, STAMP, b"bad")


class Rows:
    """Expressions that return what they are given, and what came of it."""

    def __init__(self, spark: Any) -> None:
        self.memory = spark._jvm.org.apache.spark.sql.util.ArrowUtils.rootAllocator()
        self.before = self.memory.getAllocatedMemory()
        raw = spark.createDataFrame(spark.sparkContext.emptyRDD(), RAW)
        checked = "CASE WHEN value = X'626164' THEN raise_error('a bad value') ELSE value END AS value"
        nested = "CASE WHEN value IS NOT NULL THEN map(topic, array(offset)) END AS nested"
        frame = raw.selectExpr("topic", "partition", "offset", "timestamp", checked, nested)
        self.schema = to_arrow_schema(frame.schema, timezone="UTC")
        self.expressions = Expressions(spark, raw, frame)

    def __call__(self, messages: list[Message]) -> list[Any]:
        batch = self.expressions(messages, self.schema)
        batch.validate(full=True)
        return batch.to_pylist()


@pytest.fixture
def rows(spark: Any) -> Iterator[Rows]:
    rows = Rows(spark)
    yield rows
    rows.expressions.close()
    assert rows.memory.getAllocatedMemory() == rows.before


def messages(count: int, size: int = 3) -> list[Message]:
    values = [None, b"", b"\x00\xff", b"v" * size]
    topics = ["", "topic", "ß日本😀"]
    return [Message(topics[i % 3], i % 7, 2**62 + i, STAMP + i, values[i % 4]) for i in range(count)]


def expected(messages: list[Message]) -> list[Any]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp": epoch + timedelta(milliseconds=stamp),
            "value": value,
            "nested": None if value is None else [(topic, [offset])],
        }
        for topic, partition, offset, stamp, value in messages
    ]


def test_a_call_returns_its_own_messages(rows: Rows) -> None:
    calls = [(1, 3), (0, 3), (30, 3), (5, 3), (4, 2_000_000), (2, 3), (20_000, 40), (3, 3), (40, 900), (4, 3)]
    for count, size in calls:
        given = messages(count, size)
        assert rows(given) == expected(given), (count, size)


def test_a_failed_call_leaves_no_trace(rows: Rows) -> None:
    good = messages(9)
    for broken in ([BAD], [*good, BAD], [*messages(20_000, 40), BAD, *good]):
        with pytest.raises(SparkRuntimeException, match="a bad value"):
            rows(broken)
        assert rows(good) == expected(good)
        assert rows(good[:2]) == expected(good[:2])


def test_what_was_returned_stays(rows: Rows) -> None:
    first = rows.expressions(messages(8), rows.schema)
    rows(messages(9, 50))
    assert first.to_pylist() == expected(messages(8))


def test_a_call_has_a_limit(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "ROWS", 3)
    with pytest.raises(ServiceError, match="4 messages at once: prepare at most 3"):
        rows(messages(4))
    assert rows(messages(3)) == expected(messages(3))
