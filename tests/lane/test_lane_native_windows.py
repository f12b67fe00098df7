"""The same windows as Spark's own window() computes them in batch, and a backlog that is read unevenly."""

import json
import random
import time
from datetime import UTC, datetime

from lane_orders import USERS, Good, order, same, served, want, wave
from lane_world import World
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming.plan import Feature

MINUTE = 60_000
NATIVE = {
    "count": lambda c: F.count(c),
    "sum": lambda c: F.coalesce(F.sum(c), F.lit(0.0)),
    "mean": lambda c: F.avg(c),
    "min": lambda c: F.min(c),
    "max": lambda c: F.max(c),
    "std": lambda c: F.stddev_samp(c),
    "var": lambda c: F.var_samp(c),
    "std_pop": lambda c: F.stddev_pop(c),
    "var_pop": lambda c: F.var_pop(c),
    "count_distinct": lambda c: F.count_distinct(c),
    "first": lambda c: F.min_by(c, F.when(c.isNotNull(), F.col("place"))),
    "last": lambda c: F.max_by(c, F.when(c.isNotNull(), F.col("place"))),
}
"""What a feature's function is in Spark, where a sum of nothing is null. Events are in order of `place`."""


def test_windows_are_those_of_spark(world: World, spark) -> None:
    """Of the windows that contain the newest event, the one that started first."""
    now = int(time.time() * 1000)
    rng = random.Random(5)
    # Events at the very edges of windows, besides those anywhere; amounts that are plain numbers.
    edges = [(now - m * MINUTE) // 600_000 * 600_000 + d for m in (12, 25, 70) for d in (-1, 0, 1)]
    times = [*edges, *(now - rng.randint(MINUTE, 150 * MINUTE) for _ in range(500))]
    orders = [order(rng, n, at, amount=rng.choice([None, 1.5, 2.25, 9.0])) for n, at in enumerate(times)]
    world.send(
        ("orders", n % 3, json.dumps(values).encode(), Good(at, values))
        for n, (at, values) in enumerate(zip(times, orders, strict=True))
    )
    world.run(spark, views=["user_orders"], max_events=200)
    (view,) = world.plan(spark, ["user_orders"]).views
    rows = dict(zip(USERS, served(world, view, [(u,) for u in USERS], "latest_event"), strict=True))
    events = batch_of(world, spark)
    for window in view.windows:
        features = [f for f in view.features if f.window == window]
        native = natively(events, features).collect()
        assert {row.user_id for row in native} == {v["user_id"] for v in orders} - {None}
        for row in native:
            held = [(0, 0, 0, v) for v in orders if v["user_id"] == row.user_id]
            for feature in features:
                got, expected = rows[row.user_id][feature.name], row[feature.name]
                assert same(got, expected, feature, held), (row.user_id, feature, got, expected)


def batch_of(world: World, spark: SparkSession) -> DataFrame:
    """Every event sent, read from Kafka by Spark in batch, with its user's newest event time."""
    raw = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", world.kafka)
        .option("subscribe", world.given["orders"])
        .load()
    )
    schema = "event_time timestamp, user_id string, amount double, points bigint, city string, gift boolean"
    parsed = raw.select(F.from_json(F.col("value").cast("string"), schema).alias("e"), "partition", "offset")
    events = parsed.select("e.*", F.struct("e.event_time", "partition", "offset").alias("place"))
    newest = events.groupBy("user_id").agg(F.max("event_time").alias("newest"))
    return events.join(newest, "user_id").cache()


def natively(events: DataFrame, features: list[Feature]) -> DataFrame:
    """One row a user: the features in the first of the windows that hold the user's newest event."""
    length, slide = features[0].window.length, features[0].window.slide
    columns = [NATIVE[f.function](F.col(f.column) if f.column else F.lit(1)).alias(f.name) for f in features]
    windows = F.window("event_time", f"{length} milliseconds", f"{slide} milliseconds").alias("window")
    whole = events.groupBy("user_id", "newest", windows).agg(*columns)
    holding = whole.filter("window.start <= newest AND newest < window.end")
    first = F.min_by(F.struct(*[f.name for f in features]), F.col("window.start")).alias("first")
    return holding.groupBy("user_id").agg(first).select("user_id", "first.*")


def test_a_quiet_partition_and_an_idle_topic_lose_nothing(world: World, spark) -> None:
    """A backlog of which one partition holds a few old events, read in small batches with deduplication."""
    now = int(time.time() * 1000)
    rng = random.Random(9)
    quiet = [order(rng, n, now - (170 - n) * MINUTE, user_id=USERS[0], shop_id=1) for n in range(12)]
    busy = wave(3, 2500, now - 150 * MINUTE, now - MINUTE, hostile=False)
    world.send(message for message in busy if message[1] != 2)
    world.send(("orders", 2, json.dumps(values).encode(), Good(_time(values), values)) for values in quiet)
    lines = world.run(spark, max_events=400)
    assert len(lines) > 5
    assert sum(line["read"] for line in lines) == len(world.sent)
    for line in lines:
        assert line["duplicates"] == 0
        assert not line["quarantined"]
        assert all(view["unaccounted"] == 0 for view in line["views"].values())
    (view,) = world.plan(spark, ["shop_orders"]).views
    world.now = now
    (got,) = served(world, view, [(1,)])
    events = [
        (
            about.time,
            m.partition,
            m.offset,
            v | {"net": None if v["amount"] is None else v["amount"] - (v["discount"] or 0)},
        )
        for m, about in world.sent
        if (v := about.values)["shop_id"] == 1 and v["status"] == "paid"
    ]
    for feature in view.features:
        assert same(got[feature.name], want(feature, events, now), feature, events)


def _time(values: dict) -> int:
    return int(datetime.fromisoformat(values["event_time"]).astimezone(UTC).timestamp() * 1000)
