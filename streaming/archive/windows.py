"""Final windows: Spark's own window aggregates over the events table, written once they can no longer change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming.archive import aggregates, tables
from streaming.plan import Feature, Source, View, Window
from streaming.sinks import Table

DELAY = "spark.watermarkDelayMs"
"""Where Spark notes, in a column's metadata, that a watermark bounds it."""
UNITS = (("d", 86_400_000), ("h", 3_600_000), ("s", 1000), ("ms", 1))


def short(milliseconds: int) -> str:
    """A duration in its largest whole unit of days, hours, seconds and milliseconds: 7d, 1h, 60s."""
    unit, size = next((u, n) for u, n in UNITS if milliseconds % n == 0)
    return f"{milliseconds // size}{unit}"


def folder(view: View, window: Window) -> str:
    """The path of a window's table."""
    return f"windows/{view.name}/{short(window.length)}_{short(window.slide)}"


def events(spark: SparkSession, path: str, source: Source, number: int) -> DataFrame:
    """A stream of an events table, with the source's columns as the struct that the plan's SQL reads.

    What retention deletes from the table does not come again, and compaction changes nothing.
    """
    stream = spark.readStream.format("delta").option("skipChangeCommits", "true").load(path)
    own = tables.events(source).schema.names[: -len(tables.ADDED)]
    struct = F.struct(*[F.col(f"`{name}`") for name in own]).alias(f"source_{number}")
    return stream.select(struct, "_partition", "_offset")


@dataclass(frozen=True)
class FinalWindows:
    """The windows of one view that one query computes: any number of tumbling ones, or a single sliding one.

    A tumbling window has the features of every window of its length, since it differs from them in its
    slide alone.
    """

    view: View
    source: Source
    number: int
    windows: tuple[Window, ...]

    @property
    def name(self) -> str:
        first = self.windows[0]
        return "tumbling" if first.length == first.slide else f"{short(first.length)}_{short(first.slide)}"

    def features(self, window: Window) -> tuple[Feature, ...]:
        """The features that are columns of a window's table."""
        return tuple(
            f
            for f in self.view.features
            if f.window.length == window.length and (f.window == window or window.length == window.slide)
        )

    def frame(self, arrived: DataFrame) -> DataFrame:
        """Groups that are final: join keys, `_window` and each statistic by its number."""
        view = self.view
        used = [f for window in self.windows for f in self.features(window)]
        rows = arrived.where(view.condition) if view.condition else arrived
        rows = rows.select(
            F.expr(view.timestamp).alias("_time"),
            *[F.expr(sql).alias(name) for name, sql in view.keys],
            *aggregates.columns(view, used, arrived),
            F.struct(F.expr(view.timestamp), "_partition", "_offset").alias("_place"),
        )
        for name, _ in view.keys:
            rows = rows.where(F.col(f"`{name}`").isNotNull())
        rows = rows.withWatermark("_time", f"{self.source.watermark_delay} milliseconds")
        statistics = [
            aggregates.statistic(function, column, rows).alias(f"_s{n}")
            for n, (function, column) in enumerate(self._statistics)
        ]
        keys = [F.col(f"`{name}`") for name, _ in view.keys]
        return self._windowed(rows).groupBy("_window", *keys).agg(*statistics)

    @property
    def _statistics(self) -> list[tuple[str, str]]:
        found = {(f.function, f.column): None for window in self.windows for f in self.features(window)}
        return list(found)

    def _windowed(self, rows: DataFrame) -> DataFrame:
        if len(self.windows) == 1:
            return rows.withColumn("_window", _window(self.windows[0]))
        for n, window in enumerate(self.windows):
            rows = rows.withColumn(f"_w{n}", _window(window))
        each = F.explode(F.array(*[f"_w{n}" for n in range(len(self.windows))]))
        # An array's elements do not say that a watermark bounds them, as their ends do.
        bounded = F.col("_window").alias(
            "_window", metadata={DELAY: self.source.watermark_delay, "spark.timeWindow": True}
        )
        rows = rows.withColumn("_window", each)
        others = [
            F.col(f"`{name}`") for name in rows.columns if name != "_window" and not name.startswith("_w")
        ]
        return rows.select(*others, bounded)

    def tables(self, groups: DataFrame) -> Iterator[tuple[Table, DataFrame]]:
        """Each window's table and its rows among the groups of a batch."""
        numbers = {statistic: n for n, statistic in enumerate(self._statistics)}
        for window in self.windows:
            length = F.unix_millis("_window.end") - F.unix_millis("_window.start")
            rows = groups.where(length == window.length).select(
                *[F.col(f"`{name}`") for name, _ in self.view.keys],
                F.col("_window.start").alias("window_start"),
                F.col("_window.end").alias("window_end"),
                *[
                    F.col(f"_s{numbers[f.function, f.column]}").cast(aggregates.TYPES[f.dtype]).alias(f.name)
                    for f in self.features(window)
                ],
                F.to_date("_window.start").alias("date"),
            )
            key = (*[name for name, _ in self.view.keys], "window_start")
            yield Table(folder(self.view, window), rows.schema, key, "date"), rows


def _window(window: Window) -> Column:
    return F.window("_time", f"{window.length} milliseconds", f"{window.slide} milliseconds")


def chosen(view: View, source: Source, number: int, which: str) -> Iterator[FinalWindows]:
    """The queries of a view for the setting `windows`: none, tumbling or all."""
    if which == "none":
        return
    lengths = sorted({w.length for w in view.windows})
    yield FinalWindows(view, source, number, tuple(Window(length, length) for length in lengths))
    if which == "all":
        for window in view.windows:
            if window.slide < window.length:
                yield FinalWindows(view, source, number, (window,))
