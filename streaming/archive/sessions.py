"""Sessions: what an entity did without a longer pause, over all of its sources, by Spark's session_window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streaming.archive import aggregates
from streaming.definitions.sessions import SessionPart, Sessions
from streaming.plan import Source
from streaming.sinks import Table


@dataclass(frozen=True)
class FinalSessions:
    """One entity's sessions; `sources` are those of its parts, in their order, with their numbers in the plan."""

    sessions: Sessions
    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        return self.sessions.entity

    def frame(self, arrived: list[DataFrame]) -> DataFrame:
        """Final sessions, from the events (`windows.events`) of each part's source."""
        parts = [self._rows(part, events) for part, events in zip(self.sessions.parts, arrived, strict=True)]
        rows = reduce(DataFrame.unionByName, parts)
        delay = max(source.watermark_delay for source in self.sources)
        # One watermark over the union: a source that is idle does not hold up the sessions of the others.
        rows = rows.withWatermark("_time", f"{delay} milliseconds")
        session = F.session_window("_time", f"{self.sessions.gap} milliseconds")
        distinct = [
            aggregates.distinct(F.col(f"`{name}`")).cast("bigint").alias(f"distinct_{name}")
            for name in self.sessions.distinct
        ]
        return rows.groupBy(session, "_key").agg(
            F.count(F.lit(1)).alias("events"),
            F.coalesce(F.sum("_amount"), F.lit(0.0)).alias("amount"),
            *distinct,
            F.min("_time").alias("session_start"),
            F.max("_time").alias("session_end"),
        )

    def _rows(self, part: SessionPart, events: DataFrame) -> DataFrame:
        held = dict(part.distinct)
        amount = f"CAST({part.amount} AS DOUBLE)" if part.amount else "CAST(NULL AS DOUBLE)"
        rows = events.select(
            F.expr(part.time).alias("_time"),
            F.expr(part.key).alias("_key"),
            F.expr(f"CASE WHEN abs({amount}) < double('infinity') THEN {amount} END").alias("_amount"),
            *[
                F.expr(f"CAST({held.get(name, 'NULL')} AS STRING)").alias(name)
                for name in self.sessions.distinct
            ],
        )
        return rows.where("_key IS NOT NULL")

    def table(self, sessions: DataFrame) -> tuple[Table, DataFrame]:
        """The sessions' table, and its rows."""
        rows = sessions.select(
            F.col("_key").alias(self.sessions.key),
            "session_start",
            "session_end",
            (F.unix_micros("session_end") - F.unix_micros("session_start")).cast("double").alias("duration"),
            "events",
            "amount",
            *[f"distinct_{name}" for name in self.sessions.distinct],
            F.to_date("session_start").alias("date"),
        ).withColumn("duration", F.col("duration") / 1e6)
        key = (self.sessions.key, "session_start")
        return Table(f"sessions/{self.name}", rows.schema, key, "date"), rows
