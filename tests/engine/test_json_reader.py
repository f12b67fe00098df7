"""What the reader reads is what `from_json` reads, whatever the bytes; and it reads messages of the usual form."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructType,
    TimestampType,
)

from generators import encode, stream
from generators.contracts import STREAMS
from generators.schema import spark_schema
from streaming import json_reader, source

INNER = StructType().add("a", LongType()).add("bb", StringType())
SCHEMA = (
    StructType()
    .add("s", StringType())
    .add("se", StringType())
    .add("d", DoubleType())
    .add("l", LongType())
    .add("i", IntegerType())
    .add("b", BooleanType())
    .add("t", TimestampType())
    .add("D", DateType())
    .add("texts", ArrayType(StringType()))
    .add("lists", ArrayType(ArrayType(DoubleType())))
    .add("numbers", MapType(StringType(), DoubleType()))
    .add("inner", INNER)
    .add("inners", ArrayType(INNER))
    .add("decimal", DecimalType(10, 2))
    .add("float", FloatType())
    .add("_corrupt_record", StringType())
)
NAMES = [f'"{name}"' for name in [*SCHEMA.fieldNames(), "x", "", "S", "sé", "a"]]
NAMES += ['"\\u0073"', "s", "'s'", '"s', '"s\t"', '"\xff"']
VALUES = {
    "s": ['""', '"a b"', '"ß日本😀"', r'"\"\\\/\b\f\n\r\t"', r'"\u00e9\ud83d\ude00"', r'"\ud83d"', r'"\x41"', r'"\u12"',
          '"\\', '"a\nb"', '"\x7f\x85\u2028"', '"\ufffd"', '"\ufeff"', "'a'", '"\x00"', '"' + "y" * 3000 + '"'],
    "d": ["0", "-0", "0.0", "-0.0", "1.5", "-12.25", "1e5", "1.5E-7", "1e999", "1e-999", "00", "01", "1.", ".5", "+1", "-",
          "--1", "1e", "1e+", "0x1", "1_000", "NaN", "Infinity", '"1.5"', '"NaN"', "9007199254740993", "9007199254740993.0",
          "123456789012345678", "-1234567890123456789", "0.1", "1.7976931348623157e308", "4.9e-324", "2.2250738585072011e-308",
          "0.30000000000000004", "123456789012345.678901", "5" * 400, "1.2.3", "1 2"],
    "l": ["7", "-7", "999999999999999999", "9223372036854775807", "9223372036854775808", "1.0", '"7"', "1e2"],
    "i": ["3", "-3", "999999999", "2147483647", "-2147483648", "2147483648", "3.0"],
    "b": ["true", "false", "True", "tru", "truex", "1", '"true"'],
    "t": ['"2026-03-01T00:00:00Z"', '"2026-03-01T23:59:59.9Z"', '"2024-02-29T12:30:45.123456Z"', '"2025-02-29T00:00:00Z"',
          '"2026-03-01T24:00:00Z"', '"2026-03-01T00:60:00Z"', '"2026-03-01T00:00:60Z"', '"2026-03-01 00:00:00"',
          '"2026-03-01T00:00:00+01:00"', '"2026-03-01T00:00:00.1234567Z"', '"2026-13-01T00:00:00Z"', '"1900-03-01T00:00:00Z"',
          '"1582-10-10T00:00:00Z"', '"9999-12-31T23:59:59.999999Z"', '"2026-3-1T0:0:0Z"', '"2026-03-01T00:00:00.Z"', '""',
          '"2026-03-01T00:00:00z"', "1772323200", '" 2026-03-01T00:00:00Z"', '"2100-02-29T00:00:00Z"', '"2026-00-10T00:00:00Z"'],
    "D": ['"2026-03-01"', '"2024-02-29"', '"2023-02-29"', '"2026-3-1"', '"2026-03-01T00:00:00Z"', '"2026-04-31"', '""', "20000",
          '"2000-02-29"', '"1900-01-01"', '"2026-03-00"', '"٢٠٢٦-03-01"'],
    "texts": ["[]", '["a","b"]', "[ ]", '[null, "a"]', '["a",]', "[,]", '["a" "b"]', "[1]", '["a"', '"a"', '[["a"]]', '["\\n"]'],
    "lists": ["[[1,2.5],[]]", "[[1],null]", "[[null]]", "[[1,]]", '[["1"]]'],
    "numbers": ["{}", "{ }", '{"x":1,"y":2.5}', '{"x":1,"x":2}', '{"x":null}', '{"x":"1"}', '{"x":1,}', '{x:1}', '{"":1}',
                '{"\\u0041":1}', '{"ä":1e3}', '{"x" : [1]}'],
    "inner": ["{}", '{"a":1,"bb":"x"}', '{"bb":"x","a":1}', '{"a":"1"}', '{"c":1}', '{"a":1,"a":2}', '{"a":{}}', "[1]", '"{}"'],
    "inners": ["[{}]", '[{"a":1},{"bb":"y"},null]', "[{]"],
}  # fmt: skip
SPACE = ["", "", "", "", " ", "\n", "\t\r ", "\x0b", "\u00a0", "/**/"]
USUAL = {name: values[:2] for name, values in VALUES.items()}


def text(random: Random) -> bytes:
    """A message: mostly an object of our names and values, mostly with something wrong."""
    wrong, spaces = random.random() < 0.6, SPACE if random.random() < 0.3 else [""]
    fields = []
    for _ in range(random.randrange(9)):
        name = random.choice(NAMES if wrong and random.random() < 0.2 else NAMES[: len(VALUES)])
        pool = (
            VALUES.get(name.strip('"'), VALUES["s"])
            if random.random() < 0.9
            else VALUES[random.choice([*VALUES])]
        )
        value = (
            "null"
            if random.random() < 0.1
            else random.choice(pool if wrong and random.random() < 0.4 else pool[:2])
        )
        fields.append(
            "".join(random.choice(spaces) + part for part in (name, ":", value)) + random.choice(spaces)
        )
    made = random.choice(spaces) + "{" + ",".join(fields) + "}" + random.choice(spaces)
    found = made.encode("latin-1" if "\xff" in made and max(map(ord, made)) < 256 else "utf-8")
    return broken(random, found) if wrong and random.random() < 0.4 else found


def broken(random: Random, found: bytes) -> bytes:
    """The bytes with some of them lost, doubled, put in or changed, or with more behind."""
    pieces = [
        b'"',
        b"\\",
        b"{",
        b"}",
        b",",
        b":",
        b"0",
        b"-",
        b".",
        b"e",
        b"\x00",
        b"\xc3",
        b"\xff",
        b" ",
        b"n",
        b"[",
        b"]",
    ]
    for _ in range(random.randrange(1, 3)):
        at = random.randrange(len(found) + 1)
        upto = min(len(found), at + random.randrange(3))
        found = found[:at] + random.choice([b"", random.choice(pieces), found[at:upto] * 2]) + found[upto:]
    return found + random.choice([b"", b"", b"x", b"{}", b",1", b"\n"])


def both(spark: Any, texts: list[bytes], schema: StructType) -> list[tuple[Any, Any]]:
    """What the reader makes of each message, and what `from_json` does where the reader made something."""
    read = json_reader.fast(spark, "value", schema)
    assert read is not None
    frame = spark.createDataFrame([(i, value) for i, value in enumerate(texts)], "i int, value binary")
    frame = frame.select("i", "value", read.alias("read")).withColumn(
        "parsed", F.when(F.col("read").isNotNull(), source._json(schema))
    )
    return [(row.read, row.parsed) for row in frame.orderBy("i").collect()]


@given(st.integers(0, 2**32))
@settings(max_examples=25)
@example(seed=1)
def test_what_is_read_is_what_from_json_reads(spark: Any, seed: int) -> None:
    random = Random(seed)
    texts = [text(random) for _ in range(400)]
    found = both(spark, texts, SCHEMA)
    # -0.0 and 0.0 are equal, but not in their text.
    assert [(t, repr(p)) for t, (r, p) in zip(texts, found, strict=True) if r is not None] == [
        (t, repr(r)) for t, (r, _) in zip(texts, found, strict=True) if r is not None
    ]
    assert 40 < sum(r is not None for r, _ in found) < 360


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=50, max_size=400))
@settings(max_examples=20)
def test_numbers_are_the_nearest_doubles(spark: Any, numbers: list[float]) -> None:
    schema = StructType().add("d", DoubleType())
    texts = [f'{{"d":{form}}}' for n in numbers for form in (repr(n), f"{n:.3f}", f"{n:.17g}", f"{n:.4e}")]
    found = both(spark, [t.encode() for t in texts], schema)
    for given_, (read, parsed) in zip(texts, found, strict=True):
        assert read is None or repr(read.d) == repr(parsed.d) == repr(float(given_[5:-1])), given_


@pytest.mark.parametrize("name", STREAMS)
def test_every_shipped_event_is_read(spark: Any, name: str) -> None:
    _, values = encode(
        name, stream(name, seed=3, start_index=0, n=2_000, start_time=1_772_323_200_000, rate=50.0)
    )
    found = both(spark, values, spark_schema(name))
    assert all(read is not None and repr(read) == repr(parsed) for read, parsed in found)
    random = Random(7)
    changed = [broken(random, value) for value in values]
    found = both(spark, changed, spark_schema(name))
    assert all(read is None or repr(read) == repr(parsed) for read, parsed in found)


def test_a_message_that_another_json_writer_made_is_read(spark: Any) -> None:
    text = r"""
    {
        "s": "K\u00f6ln \"am\" Rhein", "se": "Köln", "unknown": "x", "other": 1.5, "none": null, "no": false,
        "d": 12.5, "l": -3, "i": 4, "b": true, "t": "2026-03-01T12:00:00.5Z", "D": "2026-03-01",
        "texts": ["a", null], "lists": [[1, 2]], "numbers": {"x": 1, "y": null}, "inner": {"bb": "c"}, "inners": []
    }
    """
    ((read, parsed),) = both(spark, [text.encode()], SCHEMA)
    assert read == parsed
    assert (read.s, read.se, read.d, read.inner.bb) == ('Köln "am" Rhein', "Köln", 12.5, "c")


def test_some_schemas_have_no_reader(spark: Any) -> None:
    for name in ('a"b', "a\\b", "a\nb", "ä"):
        assert json_reader.fast(spark, "value", StructType().add(name, StringType())) is None
    spark.conf.set(json_reader.LEGACY, "LEGACY")
    try:
        assert json_reader.fast(spark, "value", SCHEMA) is None
    finally:
        spark.conf.unset(json_reader.LEGACY)


def test_many_names_are_told_apart(spark: Any) -> None:
    schema = StructType()
    for i in range(300):
        schema = schema.add(f"c{i}", LongType())
    order = list(range(300))
    Random(2).shuffle(order)
    text = "{" + ",".join(f'"c{i}":{i}' for i in order) + "}"
    ((read, parsed),) = both(spark, [text.encode()], schema)
    assert list(read) == list(parsed) == list(range(300))
