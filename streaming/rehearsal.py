"""What a lane asks of Spark, done once without Kafka or Redis: its JVM leaves the classes in an archive.

`python -m streaming.rehearsal ARCHIVE JAR...`, run by `streaming.warm_start`.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from streaming import session, source
from streaming.errors import ServiceError
from streaming.packets import OUTPUT, PACKETS
from streaming.plan import Source
from streaming.sinks.delta import SPARK
from streaming.warm_start import QUIET

MESSAGE = (
    StructType()
    .add("id", "string")
    .add("at", "timestamp")
    .add("account", "string")
    .add("amount", "double")
    .add("number", "long")
    .add("good", "boolean")
)
SOURCE = Source("rehearsal", "rehearsal", "", "json", MESSAGE.json(), "at", "id", required=("account",))
TEXT = '{"id": "1", "at": "2026-01-01T00:00:00Z", "account": "a", "amount": 1.5, "number": 1, "good": true}\n'
ROWS = """
    SELECT *, xxhash64(key) h, xxhash64(id) identity
    FROM (
        SELECT _offset, CASE WHEN _code > 0 THEN _code END code, CAST(_event_id AS BINARY) id,
            CAST(source_0.account AS BINARY) key, unix_micros(source_0.at) time, source_0.amount amount
        FROM {events})"""


def rehearse(archive: Path, jars: list[Path], folder: Path) -> None:
    """Leave `archive`, of a session that has done what lanes do; `folder` takes its tables.

    Raises ServiceError when the JVM does not leave it.
    """
    connector = next((jar for jar in jars if "sql-kafka" in jar.name), None)
    if connector is None:
        raise ServiceError("there is no Kafka connector among the jars: run `tidemark jars`")
    options = f"{session.JVM} -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit={archive} {QUIET}"
    conf = {**SPARK, session.JAVA_OPTIONS: options}
    spark = session.build(
        "rehearsal", master="local[2]", jars=jars, shuffle_partitions=2, driver_memory="1g", conf=conf
    )
    jvm = spark.sparkContext._gateway.proc  # type: ignore[union-attr]
    _plan(spark)
    _kafka(spark, connector)
    _stream(spark, folder)
    spark.stop()
    jvm.stdin.close()
    if jvm.wait() or not archive.is_file():
        raise ServiceError(f"Java left no archive (exit code {jvm.returncode})")


def _udf(events: DataFrame) -> DataFrame:
    large = F.when(F.col("amount") > 100, F.upper("account")).otherwise("small")
    return events.filter("amount > 0").withColumn("large", large).withColumn("yes", F.col("good").cast("int"))


def _plan(spark: SparkSession) -> None:
    """As `streaming.definitions.load` treats a view's udf."""
    from streaming.definitions.columns import Columns
    from streaming.definitions.udf import compile_udf
    from streaming.definitions.verify import compare

    compiled = compile_udf(spark, _udf, "source_0", MESSAGE)
    compare(spark, _udf, "source_0", MESSAGE, Columns(compiled.columns, {}, compiled.condition))


def _kafka(spark: SparkSession, connector: Path) -> None:
    """The connector and a client, as far as they go without a broker."""
    java = spark._jvm.java  # type: ignore[union-attr]
    reader = spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:9")
    reader.option("subscribe", SOURCE.topic).load()
    bytes_ = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
    options = {"bootstrap.servers": "127.0.0.1:9", "key.deserializer": bytes_, "value.deserializer": bytes_}
    clients = spark._jvm.org.apache.kafka.clients  # type: ignore[union-attr]
    clients.consumer.KafkaConsumer(options).close()
    clients.admin.Admin.create(options).close()
    for name in zipfile.ZipFile(connector).namelist():
        if name.endswith(".class"):
            java.lang.Class.forName(name.removesuffix(".class").replace("/", "."))


def _stream(spark: SparkSession, folder: Path) -> None:
    """Two batches that are parsed, shuffled, handed to Python and written to Delta."""
    messages = folder / "messages"
    messages.mkdir()
    for number in range(2):
        (messages / f"{number}.json").write_text(TEXT)
    raw = spark.readStream.format("text").option("maxFilesPerTrigger", 1).load(str(messages))
    raw = raw.selectExpr(
        f"'{SOURCE.topic}' topic",
        "0 partition",
        "1L offset",
        "current_timestamp() timestamp",
        "CAST(value AS BINARY) value",
    )
    rows = spark.sql(ROWS, events=source.admit(raw, [SOURCE])).mapInArrow(_packed, OUTPUT)
    rows = rows.repartitionById(2, F.col("target"))

    def batch(frame: DataFrame, number: int) -> None:
        frame.mapInArrow(_counted, "rows bigint").collect()
        frame.write.format("delta").mode("append").save(str(folder / "table"))

    writer = rows.writeStream.option("checkpointLocation", str(folder / "checkpoint"))
    writer.trigger(availableNow=True).foreachBatch(batch).start().awaitTermination()


def _packed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        row = {"target": 0, "packet": 0, "number": 0, "pieces": 1, "data": str(batch.num_rows).encode()}
        yield pa.RecordBatch.from_pylist([row], PACKETS)


def _counted(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"rows": [batch.num_rows]})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tables:
        rehearse(Path(sys.argv[1]), [Path(jar) for jar in sys.argv[2:]], Path(tables))
