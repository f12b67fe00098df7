"""The Spark fixture reads and writes what the lanes need: Kafka, Avro and Delta, with the pinned jars."""

from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro, to_avro


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
