"""Udfs as SQL, against Spark running the udfs themselves on rows that provoke."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from streaming.definitions.columns import Columns
from streaming.definitions.udf import Compiled, compile_udf
from streaming.definitions.verify import compare
from streaming.errors import DefinitionError

SCHEMA = (
    "id STRING, a INT, l BIGINT, b DOUBLE, f FLOAT, dec DECIMAL(10,2), s STRING, ok BOOLEAN, d DATE, ts TIMESTAMP, "
    "m MAP<STRING,DOUBLE>, arr ARRAY<INT>, n STRUCT<x: INT, `y z`: STRING>, bin BINARY, date STRING, hour INT"
)
Udf = Callable[[DataFrame], DataFrame]


def layers(df: DataFrame) -> DataFrame:
    first = df.withColumn("a", F.col("a") + 1).withColumn("x", F.col("a") * F.col("b"))
    second = first.withColumn("x", F.col("x") + F.col("a")).filter("x > 3 or x is null").drop("b")
    return second.select(
        "id", "ts", (F.col("x") / 2).alias("half"), F.nullif(F.col("a"), F.lit(1)).alias("b")
    )


def filters_between_layers(df: DataFrame) -> DataFrame:
    kept = df.filter(F.col("a") > 0).withColumn("a", -F.col("a")).filter(F.col("a") < -1)
    return kept.where(F.col("s").isin("a", "b'c", "\\") | F.col("ok"))


def renamed(df: DataFrame) -> DataFrame:
    swapped = df.withColumnsRenamed({"a": "hour", "hour": "a"}).drop("b")
    return swapped.toDF(*[f"{c} {i}" for i, c in enumerate(swapped.columns)])


def view_in_sql(df: DataFrame) -> DataFrame:
    return df.sparkSession.sql("select id, upper(s) as s, a as b, b as a from {df} where ok", df=df)


def temporary_view(df: DataFrame) -> DataFrame:
    df.createOrReplaceTempView("events_of_a_test")
    return (
        df.sparkSession.table("events_of_a_test").alias("t").select(F.col("t.a"), F.col("t.n.x").alias("nx"))
    )


def names_that_are_keywords(df: DataFrame) -> DataFrame:
    return df.select(
        F.hour("ts").alias("hour"),
        F.col("hour").alias("HOUR_"),
        F.to_date("date").alias("case"),
        F.col("ts").cast("date").alias("date"),
    ).filter("hour > HOUR_ or case is null")


def maps_and_structs(df: DataFrame) -> DataFrame:
    named = df.withColumn("pair", F.struct(F.col("a"), (F.col("b") * 2).alias("double b")))
    return named.select(
        F.col("m")["temp'erature"].alias("quoted"),
        F.col("m").getItem("x").alias("item"),
        F.element_at("m", "1.5").alias("element"),
        F.col("n")["y z"].alias("yz"),
        F.col("pair")["double b"].alias("b"),
        F.col("pair"),
        F.col("arr")[0].alias("first"),
        F.map_keys("m").alias("keys"),
    )


def lambdas(df: DataFrame) -> DataFrame:
    odd = df.withColumn("odd", F.filter("arr", lambda v: v % 2 == 1))
    return odd.select(
        F.transform("odd", lambda v, i: v * i).alias("t"),
        F.aggregate("arr", F.lit(0), lambda a, v: a + v, lambda a: a * 2).alias("s"),
        F.exists("arr", lambda v: F.exists("odd", lambda w: w > v)).alias("nested"),
        F.map_filter("m", lambda k, v: v > 1).alias("kept"),
        F.expr("zip_with(arr, odd, (v0, v1) -> v0 - v1)").alias("z"),
    )


def missing_values(df: DataFrame) -> DataFrame:
    filled = (
        df.na.fill(0.0, ["b"])
        .na.drop(subset=["f", "s"])
        .na.replace("a", "z", "s")
        .dropna(thresh=2, subset=["a", "b"])
    )
    return filled.withColumn("c", F.nanvl("f", F.lit(-1.0))).withColumn(
        "e", F.col("a").eqNullSafe(F.col("hour"))
    )


def numbers(df: DataFrame) -> DataFrame:
    return df.select(
        (F.col("a") / F.col("l")).alias("ratio"),
        (F.col("a") % 3).alias("rest"),
        F.expr("a div 2").alias("whole"),
        F.round("b", 2).alias("rounded"),
        (F.col("dec") * 3).alias("money"),
        F.try_divide("a", "hour").alias("tried"),
        F.col("b").cast("int").alias("cut"),
        F.col("l").cast("int").alias("wrapped"),
        F.greatest("a", "hour", F.lit(5)).alias("most"),
        F.pow(F.col("b"), 2).alias("square"),
        F.log1p(F.abs("b")).alias("log"),
        F.lit(float("nan")).alias("nan"),
        F.lit(1e300).alias("big"),
        F.lit(2**40).alias("long"),
        (-F.col("b")).alias("minus"),
        F.shiftleft("a", 2).alias("shift"),
    )


def times(df: DataFrame) -> DataFrame:
    return df.select(
        (F.unix_micros("ts") / 1e6).alias("seconds"),
        F.date_trunc("hour", "ts").alias("hour"),
        F.expr("ts - interval '1' hour").alias("before"),
        F.expr("ts + make_interval(0, 0, 0, 2)").alias("after"),
        F.expr("extract(dow from ts)").alias("dow"),
        F.dayofweek("d").alias("day"),
        F.datediff("ts", "d").alias("days"),
        F.from_utc_timestamp("ts", "Europe/Berlin").alias("berlin"),
        F.to_timestamp("s").alias("parsed"),
        F.date_format("ts", "yyyy-MM-dd'T'HH").alias("shown"),
        (F.col("ts") > F.lit(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))).alias("recent"),
        F.timestamp_millis(F.col("a").cast("long")).alias("millis"),
        F.lit(datetime.date(2020, 2, 29)).alias("leap"),
    )


def texts(df: DataFrame) -> DataFrame:
    return df.select(
        F.concat_ws("-", "s", F.col("a").cast("string")).alias("joined"),
        F.regexp_extract("s", r"(\d+)\.?(\d*)", 1).alias("digits"),
        F.regexp_replace("s", "['\"\\\\]", "_").alias("clean"),
        F.split_part("s", F.lit(","), F.lit(1)).alias("part"),
        F.col("s").like("%'%").alias("like"),
        F.col("s").rlike("^[a-z]").alias("rlike"),
        F.lit('it\'s \\ "quoted"\n\t%').alias("literal"),
        F.sha2("s", 256).alias("hash"),
        F.xxhash64("s", "a").alias("xx"),
        F.get_json_object("s", "$.a").alias("json"),
        F.substring("s", 1, 2).alias("head"),
        F.try_to_number("s", F.lit("9.9")).alias("number"),
        F.expr("try_cast(s as double)").alias("tried"),
        F.hex("bin").alias("hex"),
        F.when(F.col("s") == "a", 1).when(F.col("ok"), 2).alias("case"),
    )


WORKING: list[Udf] = [
    layers,
    filters_between_layers,
    renamed,
    view_in_sql,
    temporary_view,
    names_that_are_keywords,
    maps_and_structs,
    lambdas,
    missing_values,
    numbers,
    times,
    texts,
]


@pytest.fixture(scope="module")
def schema(spark: SparkSession) -> StructType:
    return StructType.fromDDL(SCHEMA)


def columns(compiled: Compiled) -> Columns:
    return Columns(compiled.columns, {}, compiled.condition)


@pytest.mark.parametrize("udf", WORKING, ids=lambda udf: udf.__name__)
def test_sql_equals_the_udf(spark: SparkSession, schema: StructType, udf: Udf) -> None:
    compiled = compile_udf(spark, udf, "source_3", schema)
    assert compiled.columns.keys() == compiled.types.keys()
    compare(spark, udf, "source_3", schema, columns(compiled), rows=400)


def test_only_wanted_columns_are_written(spark: SparkSession, schema: StructType) -> None:
    compiled = compile_udf(spark, layers, "s", schema, wanted={"half", "elsewhere"})
    assert list(compiled.columns) == ["half"]
    assert "s.`a`" in compiled.condition


def test_names_of_the_field_mapping(spark: SparkSession, schema: StructType) -> None:
    compiled = compile_udf(spark, lambda df: df.select("amount"), "s", schema, {"b": "amount"})
    assert compiled.columns == {"amount": "s.`b`"}


def test_text_stays_readable(spark: SparkSession, schema: StructType) -> None:
    compiled = compile_udf(spark, lambda df: df.select((F.col("b") * 2 + F.abs("f")).alias("x")), "s", schema)
    assert compiled.columns["x"] == "((s.`b` * CAST(2 AS DOUBLE)) + CAST(abs(s.`f`) AS DOUBLE))"


def action(df: DataFrame) -> DataFrame:
    return df.sparkSession.createDataFrame(df.toPandas(), df.schema)


def python_udf(df: DataFrame) -> DataFrame:
    return df.withColumn("x", F.udf(lambda v: v, "int")("a"))


REFUSED: dict[str, tuple[Udf, str]] = {
    "aggregate": (
        lambda df: df.groupBy("id").count(),
        "it aggregates rows: leave that to the view's aggregations",
    ),
    "window": (
        lambda df: df.withColumn("x", F.expr("lag(a) over (partition by id order by ts)")),
        "it looks at other rows: leave that to the view's aggregations",
    ),
    "join": (lambda df: df.join(df.select("id"), "id"), "it joins: put what it needs into the message"),
    "explode": (
        lambda df: df.select(F.explode("arr")),
        "it makes several rows of one: send one message per element",
    ),
    "sort": (lambda df: df.orderBy("a"), "it sorts, which a stream cannot: remove orderBy"),
    "limit": (lambda df: df.limit(3), "it limits rows, which a stream cannot: remove limit"),
    "distinct": (
        lambda df: df.dropDuplicates(["id"]),
        "it drops duplicates: name the source's id in its tags",
    ),
    "sample": (lambda df: df.sample(0.5), "it samples, so that it is not deterministic"),
    "union": (lambda df: df.union(df), "it unions: declare one view per input"),
    "repartition": (lambda df: df.repartition(3), "it repartitions: leave that to the engine"),
    "other frame": (
        lambda df: df.sparkSession.range(3),
        "it returns another frame than the one it was given",
    ),
    "action": (action, "it returns another frame than the one it was given|its udf fails on an empty frame"),
    "rand": (lambda df: df.withColumn("x", F.rand()), r"its udf is not deterministic \(rand"),
    "rand in a filter": (lambda df: df.filter(F.rand() > 0.5), r"its udf is not deterministic \("),
    "uuid": (lambda df: df.withColumn("x", F.expr("uuid()")), "its udf is not deterministic"),
    "row number": (
        lambda df: df.withColumn("x", F.monotonically_increasing_id()),
        "its udf is not deterministic",
    ),
    "now": (
        lambda df: df.withColumn("x", F.current_timestamp()),
        r"asks for the current time .*: use the event's",
    ),
    "unix now": (lambda df: df.withColumn("x", F.unix_timestamp()), "asks for the current time"),
    "today": (lambda df: df.filter("d = current_date()"), "asks for the current time"),
    "python": (python_udf, "its udf calls Python code for each row: write it with pyspark.sql.functions"),
    "clock": (
        lambda df: df.withColumn("x", F.lit(random.random())),
        "gives another result when called again",
    ),
    "subquery": (
        lambda df: df.sparkSession.sql("select *, (select 1) as x from {df}", df=df),
        "its udf has a subquery|it needs OneRowRelation|it cannot be used|it returns another frame",
    ),
    "from_json": (
        lambda df: df.withColumn("x", F.from_json("s", "a INT").a),
        "which Spark cannot read back as SQL: express it otherwise",
    ),
    "unknown column": (
        lambda df: df.select("nothing"),
        "its udf does not fit the source's columns: .*nothing",
    ),
    "crash": (
        lambda df: 1 / 0,
        "its udf fails on an empty frame .ZeroDivisionError: division by zero.: write it with",
    ),  # type: ignore[dict-item,return-value]
    "pandas": (
        lambda df: df.transform(lambda x: x + 10, axis=1),
        "its udf fails on an empty frame .TypeError",
    ),
    "nothing": (lambda df: None, "its udf returns NoneType: return a Spark DataFrame"),  # type: ignore[dict-item,return-value]
    "twice": (lambda df: df.select("a", "a"), "its udf returns two columns called a: rename one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_remedy(spark: SparkSession, schema: StructType, name: str, capfd: Any) -> None:
    udf, message = REFUSED[name]
    with pytest.raises(DefinitionError, match=message) as caught:
        compile_udf(spark, udf, "s", schema)
    assert "\n" not in str(caught.value)
    assert "QueryContextLogger" not in capfd.readouterr().err


def test_a_wrong_translation_is_noticed(spark: SparkSession, schema: StructType) -> None:
    def udf(df: DataFrame) -> DataFrame:
        return df.filter("a > 3 or s = 'x'").select((F.col("b") + 1).alias("x"))

    right = columns(compile_udf(spark, udf, "s", schema))
    compare(spark, udf, "s", schema, right)
    nulls = Columns({"x": f"coalesce({right.sql['x']}, 0.0D)"}, {}, right.condition)
    with pytest.raises(DefinitionError, match=r"its udf makes .* of a random row, as SQL .*: simplify"):
        compare(spark, udf, "s", schema, nulls)
    border = Columns(right.sql, {}, right.condition.replace("> 3", ">= 3"))
    with pytest.raises(DefinitionError, match=r"its filters keep \d+ random rows, as SQL \d+"):
        compare(spark, udf, "s", schema, border)


def test_a_udf_that_fails_on_values_is_refused(spark: SparkSession, schema: StructType) -> None:
    def udf(df: DataFrame) -> DataFrame:
        return df.withColumn("x", F.timestamp_millis("l"))

    def guarded(df: DataFrame) -> DataFrame:
        return df.withColumn("x", F.when(F.col("l").between(0, 10**13), F.timestamp_millis("l")))

    with pytest.raises(
        DefinitionError, match=r"its udf fails on values .*long overflow.*: guard against them"
    ):
        compare(spark, udf, "s", schema, columns(compile_udf(spark, udf, "s", schema)))
    compare(spark, guarded, "s", schema, columns(compile_udf(spark, guarded, "s", schema)))
