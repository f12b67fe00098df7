"""Training sets: for every labelled moment the features that would have been served then."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import FeatureStore
from pyarrow import fs
from pyarrow import parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampType

from streaming import definitions, lazy_spark
from streaming.errors import DefinitionError
from streaming.history import asof
from streaming.history.backfill import place
from streaming.history.events import Events, entity_key
from streaming.history.rows import AFTER_ALL, BEFORE_ALL
from streaming.history.store import StoreSettings
from streaming.lanes import failures
from streaming.plan import Plan, View
from training import labels
from training.labels import PLACE, TIME
from training.request import Part, Request, resolve

BATCH = 65_536


@dataclass(frozen=True)
class TrainingSet:
    """What was written: `out`, its number of rows and its features, by column."""

    out: str
    rows: int
    features: tuple[str, ...]


def training_set(
    repo: Path | str | FeatureStore,
    entities: Any,
    features: str | Sequence[str],
    out: Path | str,
    *,
    spark: SparkSession,
    include_own: bool = True,
    full_feature_names: bool = False,
    settings: StoreSettings | None = None,
) -> TrainingSet:
    """Write to `out` (Parquet) each row of `entities`, in its order, with its features as of its event_timestamp.

    `entities` is a path, a pandas or a Spark data frame with the join keys and `event_timestamp` (UTC); `features` is
    the name of a feature service or references view:feature. A feature covers the events up to and including
    that moment, as serving does. Without `include_own` those of the same microsecond are left out; where the labels
    carry `_partition` and `_offset` (and `_topic`) of their own event, whose time event_timestamp then is,
    it is that event, and what comes after it, that views of its source leave out.
    Entities that had no event yet have nulls. Raises TidemarkError.
    """
    settings = settings or StoreSettings.model_validate({})
    lazy_spark.install()
    store = repo if isinstance(repo, FeatureStore) else definitions._open(Path(repo))
    request = resolve(store, features, full_feature_names)
    plan = definitions.load(store, request.views, spark)
    views = {view.name: view for view in plan.views}
    root = settings.history
    with _folder(root) as folder:
        schema = labels.stage(entities, folder, request, views)
        rows = spark.read.parquet(f"{folder}/labels.parquet")
        try:
            moments = _assemble(
                Events(spark, plan, root), rows, request, schema, include_own, settings, f"{folder}/joined"
            )
        except PySparkException as error:
            raise failures.of(error) from error
        count = _finish(f"{folder}/joined", str(out), request, schema.names, moments)
    return TrainingSet(str(out), count, request.columns)


def _assemble(
    events: Events,
    rows: DataFrame,
    request: Request,
    schema: pa.Schema,
    include_own: bool,
    settings: StoreSettings,
    into: str,
) -> list[str]:
    """Write labels and features in order; returns the columns that hold moments in UTC."""
    tasks = settings.history_tasks or 4 * events.spark.sparkContext.defaultParallelism
    views = {view.name: view for view in events.plan.views}
    until, count = rows.agg(F.to_date(F.max(TIME)), F.count("*")).collect()[0]
    joined = rows
    for part in request.parts:
        view = views[part.view]
        asked = _moments(rows, part, view, events.plan, schema, include_own)
        found = asof.features(events, view, asked, tasks, until=until)
        known = {feature.name for feature in view.features}
        columns = [
            (F.col(f"`{name}`") if name in known else F.lit(None).cast("double")).alias(column)
            # A field that no aggregation computes is served as null.
            for name, column in part.features.items()
        ]
        joined = joined.join(found.select("_row", *columns), "_row", "left")
    # Not by Spark's ranges, which would compute everything once more to find them.
    ordered = joined.repartitionById(tasks, F.expr(f"CAST(_row * {tasks} div {count} AS INT)"))
    ordered.sortWithinPartitions("_row").write.parquet(into)
    return [field.name for field in ordered.schema if isinstance(field.dataType, TimestampType)]


def _moments(
    rows: DataFrame, part: Part, view: View, plan: Plan, schema: pa.Schema, include_own: bool
) -> DataFrame:
    names = [part.keys.get(name, name) for name, _ in view.join_keys]
    partition, offset = F.lit(AFTER_ALL if include_own else BEFORE_ALL), F.lit(0)
    if not include_own and {"_partition", "_offset"} <= set(schema.names):
        partition, offset = F.col("_partition"), F.col("_offset")
        if "_topic" in schema.names:
            topic = next(source.topic for source in plan.sources if source.name == view.source)
            own = F.col("_topic") == topic
            partition = F.when(own, partition).otherwise(AFTER_ALL)
        elif len(plan.sources) > 1:
            raise DefinitionError(
                f"labels name a place by {', '.join(PLACE[1:])} and features come from several topics: add {PLACE[0]}"
            )
    return rows.select(
        "_row",
        entity_key(names).alias("key"),
        F.unix_micros(TIME).alias("time"),
        F.coalesce(partition, F.lit(BEFORE_ALL)).cast("int").alias("part"),
        F.coalesce(offset, F.lit(0)).cast("bigint").alias("offset"),
    )


def _finish(joined: str, out: str, request: Request, given: Sequence[str], moments: Sequence[str]) -> int:
    """Write the parts one after another as one file, with what the on-demand views make of them."""
    system, root = place(joined)
    target, path = place(out)
    columns = [*given, *request.columns]
    parts = sorted(
        info.path for info in system.get_file_info(fs.FileSelector(root)) if info.path.endswith(".parquet")
    )
    unfinished, rows, file = f"{path}.{uuid.uuid4().hex[:8]}.tmp", 0, None
    try:
        for part in parts:
            held = pq.ParquetFile(part, filesystem=system, coerce_int96_timestamp_unit="us")
            for batch in held.iter_batches(BATCH):
                table = pa.Table.from_batches([batch]).drop(["_row"])
                for name in moments:
                    # Spark stores them as INT96, which says nothing of a zone.
                    number = table.column_names.index(name)
                    table = table.set_column(number, name, table[name].cast(pa.timestamp("us", "UTC")))
                table = request.transformed(table).select(columns)
                if file is None:
                    file = pq.ParquetWriter(unfinished, _nullable(table.schema), filesystem=target)
                file.write_table(table.cast(file.schema))
                rows += len(table)
    finally:
        if file is not None:
            file.close()
    target.move(unfinished, path)
    return rows


def _nullable(schema: pa.Schema) -> pa.Schema:
    """The schema without pandas' notes; a column of nulls alone counts as numbers."""
    return pa.schema([pa.field(f.name, pa.float64() if pa.types.is_null(f.type) else f.type) for f in schema])


@contextmanager
def _folder(root: str) -> Iterator[str]:
    """A folder in the history that only this call uses; gone afterwards."""
    folder = f"{root.rstrip('/')}/.training/{uuid.uuid4().hex}"
    system, path = place(folder)
    system.create_dir(path)
    try:
        yield folder
    finally:
        system.delete_dir(path)
