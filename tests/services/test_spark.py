"""The Spark fixture reads and writes what the lanes need: Kafka, Avro and Delta, with the pinned jars."""

from pathlib import Path

import pytest
from pyspark.errors import IllegalArgumentException
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro, to_avro

from streaming import session
from streaming.settings import LaneSettings


def test_connector_reads_back_what_it_wrote(spark, kafka, topic):
    name = topic(2)
    options = {"kafka.bootstrap.servers": kafka}
    spark.range(100).select(F.col("id").cast("string").alias("value")).write.format("kafka").options(
        topic=name, **options
    ).save()
    read = spark.read.format("kafka").options(subscribe=name, **options).load()
    assert {int(bytes(row.value)) for row in read.collect()} == set(range(100))


def test_avro_round_trip(spark):
    schema = '{"type": "record", "name": "E", "fields": [{"name": "id", "type": "long"}]}'
    rows = spark.range(5).select(to_avro(F.struct("id"), schema).alias("value"))
    assert [r.e.id for r in rows.select(from_avro("value", schema).alias("e")).collect()] == [0, 1, 2, 3, 4]


def test_delta_table_is_written_and_read(spark, tmp_path):
    path = str(tmp_path / "table")
    spark.range(10).coalesce(1).write.format("delta").save(path)
    assert spark.read.format("delta").load(path).count() == 10


DEFAULTS = Path(__file__).parents[2] / "conf" / "spark-defaults.conf"


def properties() -> dict[str, str]:
    """What conf/spark-defaults.conf sets, and what it would if a person took a # away."""
    lines = (line.removeprefix("# ") for line in DEFAULTS.read_text().splitlines())
    return dict(line.split(None, 1) for line in lines if line.startswith("spark."))


def accept(spark, key: str, value: str) -> None:
    """Fails unless Spark has a setting `key`, and takes `value` for it."""
    known = spark._jvm.org.apache.spark.internal.config.ConfigEntry.findEntry(key)
    assert known is not None, key
    known.valueConverter().apply(value)


@pytest.mark.parametrize("key", properties())
def test_every_setting_for_a_cluster_is_sparks(spark, key):
    accept(spark, key, properties()[key])


def test_a_setting_that_spark_does_not_have_is_noticed(spark):
    with pytest.raises(AssertionError):
        accept(spark, "spark.executor.memroy", "4g")
    with pytest.raises(IllegalArgumentException, match="a lot"):
        accept(spark, "spark.executor.memory", "a lot")


def test_no_setting_for_a_cluster_is_one_that_the_lane_overrules():
    lane = session.CONTRACT | session.LATENCY | LaneSettings(state="memory").spark()
    assert len(properties()) > 10
    assert lane.keys().isdisjoint(properties())
