"""The query that takes events in: Kafka -> admitted or quarantined, each event id once -> tables."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming import failpoints
from streaming import kafka as brokers
from streaming import source as admission
from streaming.archive import tables
from streaming.archive.ledger import Ledger
from streaming.plan import Plan, Source
from streaming.sinks import Sink

# Written as a plain literal, the batch's time would have Spark compile its code anew for every batch.
BATCH_TIME = "element_at(transform(array(0), ignored -> current_timestamp()), 1)"
IDENTITY = ("_origin", "_id0", "_id1")


def kafka(
    spark: SparkSession,
    bootstrap: str,
    topics: Iterable[str],
    starting: str,
    most: int,
    *,
    keys: bool = False,
) -> DataFrame:
    """A stream of the topics, at most `most` messages a batch, in Kafka's order within a partition."""
    columns = ["topic", "partition", "offset", "timestamp", "value"]
    return (
        spark.readStream.format("kafka")
        .options(**brokers.reader(bootstrap))
        .option("subscribe", ",".join(sorted(set(topics))))
        .option("startingOffsets", starting)
        .option("maxOffsetsPerTrigger", most)
        .option("failOnDataLoss", "true")
        .load()
        .select(*columns, *(["key"] if keys else []))
    )


@dataclass(frozen=True)
class Arrivals:
    """Takes in all sources of a plan from `bootstrap`."""

    plan: Plan
    bootstrap: str
    max_events: int

    @property
    def horizon(self) -> int:
        """How long an event id is remembered, in ms of processing time: the longest of the sources; 0 for none."""
        return max((s.watermark_delay for s in self.plan.sources if s.event_id and s.deduplicate), default=0)

    def stream(self, spark: SparkSession, starting: str) -> DataFrame:
        """Rows of `streaming.source.admit` without duplicates; `_raw` has the bytes of quarantined messages alone."""
        sources = self.plan.sources
        raw = kafka(spark, self.bootstrap, (s.topic for s in sources), starting, self.max_events)
        rows = admission.admit(raw, sources)
        structs = [f"source_{i}" for i in range(len(sources))]
        columns = [
            "_source",
            "_partition",
            "_offset",
            "_arrived",
            "_code",
            "CASE WHEN _code > 0 THEN _value END AS _raw",
            *[f"CASE WHEN _code = 0 THEN {name} END AS {name}" for name in structs],
        ]
        if not self.horizon:
            return rows.selectExpr(*columns)
        # A number for the source that stays when other sources come and go. Where there is no id, an event's
        # place is its identity.
        numbers = " ".join(f"WHEN {i} THEN {zlib.crc32(s.name.encode())}L" for i, s in enumerate(sources))
        origin, identified = f"CASE _source {numbers} END", "_code = 0 AND _event_id IS NOT NULL"
        rows = rows.selectExpr(
            *columns,
            f"CASE WHEN {identified} THEN {origin} ELSE -1L - {origin} END AS _origin",
            f"CASE WHEN {identified} THEN xxhash64(_event_id) ELSE CAST(_partition AS BIGINT) END AS _id0",
            f"CASE WHEN {identified} THEN xxhash64('id', _event_id) ELSE _offset END AS _id1",
            f"{BATCH_TIME} AS _now",
        ).withWatermark("_now", f"{self.horizon} milliseconds")
        return rows.dropDuplicatesWithinWatermark(list(IDENTITY)).drop("_now", *IDENTITY)


@dataclass
class ArrivalsWriter:
    """Writes a batch of `Arrivals`: a sink for each source, and one for what was quarantined."""

    plan: Plan
    ledger: Ledger
    events: tuple[Sink, ...]
    quarantine: Sink

    def write(self, frame: DataFrame, batch: int, now: float) -> dict[str, Any]:
        """Write it all, and count what became of every message; `now` is in seconds."""
        sources = self.plan.sources
        entry = self.ledger.begin(batch)
        held = frame.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            counts = held.groupBy("_source", "_code").agg(
                F.count("*").alias("rows"), F.max(self._time()).alias("newest")
            )
            found = {(row._source, row._code): row for row in counts.collect()}
            for i, (source, sink) in enumerate(zip(sources, self.events, strict=True)):
                if (i, 0) in found:
                    watermark = entry.watermarks.get(source.name)
                    sink.write(_events(held, i, source, watermark, now), batch)
                    failpoints.reach("between-tables")
            if any(code for _, code in found):
                self.quarantine.write(_quarantined(held, sources), batch)
        finally:
            held.unpersist()
        newest = {s.name: found[i, 0].newest for i, s in enumerate(sources) if (i, 0) in found}
        self.ledger.end(newest, {s.name: s.watermark_delay for s in sources})
        read = entry.read()
        return {
            "read": {s.name: read.get(s.topic, 0) for s in sources},
            "written": {s.name: found[i, 0].rows if (i, 0) in found else 0 for i, s in enumerate(sources)},
            "quarantined": {
                s.name: {
                    admission.reason(s, code): row.rows for (n, code), row in found.items() if n == i and code
                }
                for i, s in enumerate(sources)
            },
            "watermarks": entry.watermarks,
        }

    def _time(self) -> Column:
        times = [F.unix_millis(_instant(i, s)) for i, s in enumerate(self.plan.sources)]
        return F.coalesce(*times)


def _instant(i: int, source: Source) -> Column:
    return F.col(f"source_{i}")[source.timestamp_field].cast("timestamp")


def _events(held: DataFrame, i: int, source: Source, watermark: int | None, now: float) -> DataFrame:
    time = _instant(i, source)
    mine = held.where((F.col("_source") == i) & (F.col("_code") == 0))
    names = tables.events(source).schema.names[: -len(tables.ADDED)]
    late = F.lit(False) if watermark is None else F.unix_millis(time) < watermark
    return mine.select(
        *[F.col(f"source_{i}")[name].alias(name) for name in names],
        F.lit(source.topic).alias("_topic"),
        "_partition",
        "_offset",
        "_arrived",
        late.alias("_late"),
        F.lit(datetime.fromtimestamp(now, UTC)).alias("_created"),
        F.to_date(time).alias("event_date"),
    )


def _quarantined(held: DataFrame, sources: tuple[Source, ...]) -> DataFrame:
    bad = held.where(F.col("_code") > 0)
    name, topic, reason = (F.lit(None).cast("string") for _ in range(3))
    for i, source in enumerate(sources):
        mine = F.col("_source") == i
        name = F.when(mine, source.name).otherwise(name)
        topic = F.when(mine, source.topic).otherwise(topic)
        codes = [
            *range(1, admission.FUTURE + 1),
            *(admission.MISSING + n for n in range(len(source.required))),
        ]
        for code in codes:
            if code == admission.NO_ID and not source.event_id:
                continue
            reason = F.when(mine & (F.col("_code") == code), admission.reason(source, code)).otherwise(reason)
    return bad.select(
        name.alias("_source"),
        topic.alias("_topic"),
        "_partition",
        "_offset",
        "_arrived",
        reason.alias("_reason"),
        F.col("_raw").alias("_value"),
        F.to_date("_arrived").alias("date"),
    )
