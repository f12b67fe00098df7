"""Delta: a batch is one commit that names the query and the batch, so it is made once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from streaming.sinks.contract import SinkRefused, Table, Writer
from streaming.sinks.trouble import reported

SPARK = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
"""What a session must have been started with to know Delta."""

_PLAIN = re.compile(r"[^ ,;{}()\n\t=]+")


@dataclass(frozen=True)
class DeltaFolder:
    """A folder, or a URI that Spark can write, with a Delta table in each `table.name`."""

    root: str

    @property
    def name(self) -> str:
        return f"delta:{self.root}"

    def path(self, table: str) -> str:
        """Where a table is."""
        return f"{self.root.rstrip('/')}/{table}"

    def sink(self, table: Table, writer: Writer) -> DeltaSink:
        return DeltaSink(self.path(table.name), table, writer)


@dataclass
class DeltaSink:
    """Appends to one table. The table names the writers it belongs to."""

    path: str
    table: Table
    writer: Writer
    _prepared: bool = field(default=False, init=False)

    def write(self, batch: DataFrame, batch_id: int) -> None:
        """See `streaming.sinks.contract.Sink`."""
        self.prepare(batch.sparkSession)
        with reported(self.path):
            (
                batch.select(*self.table.columns)
                .write.format("delta")
                .mode("append")
                .partitionBy(self.table.partition)
                .option("mergeSchema", "true")
                # Of one writer and table, Delta skips a version that it has seen.
                .option("txnAppId", f"{self.writer.text}:{self.table.name}")
                .option("txnVersion", batch_id)
                .save(self.path)
            )

    def prepare(self, spark: SparkSession) -> None:
        """Create the table, empty, where there is none.

        Raises SinkRefused when a query of this name but with another checkpoint has written it: that one's
        batches would come again under other ids.
        """
        if self._prepared:
            return
        claim = f"tidemark.{self.writer.name}"
        mine = f"{self.writer.identity:016x}"
        with reported(self.path):
            if DeltaTable.isDeltaTable(spark, self.path):
                self._claim(spark, claim, mine)
            else:
                self._create(spark, claim, mine)
        self._prepared = True

    def _claim(self, spark: SparkSession, claim: str, mine: str) -> None:
        held = DeltaTable.forPath(spark, self.path).detail().select("properties").first()
        owner = held.properties.get(claim) if held else None
        if owner is None:
            # Another query of the lane has made it.
            spark.sql(f"ALTER TABLE delta.`{self.path}` SET TBLPROPERTIES ('{claim}' = '{mine}')")
        elif owner != mine:
            raise SinkRefused(
                f"{self.path} was written from another checkpoint: start the lane on that checkpoint, or give "
                "--history an empty folder and let it begin again"
            )

    def _create(self, spark: SparkSession, claim: str, mine: str) -> None:
        builder = (
            DeltaTable.createIfNotExists(spark)
            .location(self.path)
            .addColumns(self.table.schema)
            .partitionedBy(self.table.partition)
            .property(claim, mine)
        )
        if not all(_PLAIN.fullmatch(name) for name in _names(self.table.schema.jsonValue())):
            # Parquet's own names cannot hold these characters.
            builder = builder.property("delta.columnMapping.mode", "name")
        builder.execute()


def _names(type_: object) -> list[str]:
    """Every field's name in a type's JSON form, at any depth."""
    if isinstance(type_, list):
        return [name for item in type_ for name in _names(item)]
    if not isinstance(type_, dict):
        return []
    own = [type_["name"]] if "name" in type_ and "nullable" in type_ else []
    return own + [name for value in type_.values() for name in _names(value)]
