"""How long a message takes to parse: our reader beside Spark's `from_json`, on the same messages in one core."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from generators.contracts import STREAMS
from generators.encode import encode
from generators.scenario import Scenario
from generators.schema import spark_schema
from generators.simulate import Simulation
from streaming import json_reader, session
from tidemark.jars import spark_jars

START = 1_772_323_200_000
COPIES = 10


def run(messages: int = 20_000, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Microseconds a message by stream: the best of `rounds`, less what reading the message alone takes."""
    spark = session.build("bench-parse", master="local[1]", jars=spark_jars())
    try:
        return {name: _measured(spark, name, messages, rounds) for name in STREAMS}
    finally:
        spark.stop()


def _measured(spark: SparkSession, name: str, messages: int, rounds: int) -> dict[str, float]:
    simulation, schema = Simulation(Scenario(seed=4, rate=2_000.0)), spark_schema(name)
    _, values = encode(name, simulation.events(name, 0, simulation.times(name, START, 0, messages)))
    frame = spark.createDataFrame([(value,) for value in values], "value binary").coalesce(1)
    frame = frame.select(F.explode(F.array_repeat("value", COPIES)).alias("value")).cache()
    count = frame.count()
    took = _best(frame, _ways(spark, schema), rounds)
    frame.unpersist()
    found = {way: 1e6 * (seconds - took["nothing"]) / count for way, seconds in took.items()}
    return {
        "bytes": sum(map(len, values)) / messages,
        "from_json_us": found["from_json"],
        "reader_us": found["reader"],
        "ratio": found["from_json"] / found["reader"],
    }


def _ways(spark: SparkSession, schema: StructType) -> Mapping[str, Column]:
    read: Any = json_reader.fast(spark, "value", schema)
    theirs = F.from_json(F.col("value").cast("string"), schema)
    return {"nothing": F.length("value"), "from_json": theirs, "reader": read}


def _best(frame: DataFrame, ways: Mapping[str, Column], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for way, column in ways.items():
            began = time.perf_counter()
            frame.select(column.alias("c")).write.format("noop").mode("overwrite").save()
            best[way] = min(best[way], time.perf_counter() - began)
    return best
