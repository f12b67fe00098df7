"""Data quality of the feature tables: per feature and day, nulls, quantiles, histogram and drift.

Spark reads each file once and returns counts by day, feature and bucket (`streaming.history.distribution`); no row
leaves it. Results are kept in `<root>/quality/<view>`, a file a date, so that a trend can be drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streaming.history import cells, store, versions
from streaming.history.backfill import place
from streaming.history.distribution import Distribution, bounds, buckets, psi
from streaming.history.store import HistoryError
from streaming.history.versions import Part
from streaming.plan import Feature, View

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
GROUPS = 64
"""Text is compared by groups of values, shared out by hash."""
NULL = -(2**62)
"""The bucket of nulls."""
COUNTS = "day int, feature int, bucket bigint, n bigint, low double, high double"
DAY, BASELINE = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class Period:
    """Days from `first` to before `end`."""

    first: date
    end: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day < self.end

    def __str__(self) -> str:
        return f"{self.first}..{self.end}"


class Quality(msgspec.Struct, frozen=True):
    """One feature on one day.

    `definitions` are the versions of its rows, by commas. `quantiles` are those of QUANTILES, None without
    values; of moments (UNIX_TIMESTAMP) they are the age at the row's time in seconds, and text has none. `counts`
    are the values in bins that hold about a tenth of the baseline each, `expected` the baseline's share of its
    values in each, and `bounds` where bins begin but for the first. `psi` is None without a baseline.
    """

    view: str
    feature: str
    day: date
    definitions: str
    rows: int
    nulls: int
    quantiles: tuple[float | None, ...]
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    expected: tuple[float, ...]
    psi: float | None
    baseline: str
    created: datetime

    @property
    def null_rate(self) -> float:
        return self.nulls / self.rows


@dataclass(frozen=True)
class Measure:
    """The function for `mapInArrow`: rows of `day` and one double a feature -> counts by bucket (COUNTS)."""

    features: tuple[int, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            days = batch.column(0).to_numpy()
            columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns[1:]]
            counted = [
                self._counted(int(day), number, column[rows])
                for day in np.unique(days)
                for rows in [days == day]
                for number, column in zip(self.features, columns, strict=True)
            ]
            if counted:
                yield from pa.Table.from_batches(counted).combine_chunks().to_batches()

    @staticmethod
    def _counted(day: int, feature: int, values: np.ndarray) -> pa.RecordBatch:
        held = values[np.isfinite(values)]
        bucket, count, low, high = buckets(np.sort(held))
        columns = [
            pa.array(np.full(len(bucket) + 1, day, np.int32)),
            pa.array(np.full(len(bucket) + 1, feature, np.int32)),
            pa.array(np.append(bucket, NULL)),
            pa.array(np.append(count, len(values) - len(held))),
            pa.array(np.append(low, np.nan)),
            pa.array(np.append(high, np.nan)),
        ]
        return pa.RecordBatch.from_arrays(columns, names=["day", "feature", "bucket", "n", "low", "high"])


def measure(
    spark: SparkSession,
    root: str,
    view: View,
    since: date | None,
    until: date | None,
    baseline: Period | None,
    *,
    now: datetime,
) -> list[Quality]:
    """The quality of each feature on each day from `since` to before `until` (None: all there is).

    Without a `baseline` it is the seven days before `since`, or the first seven there are. A feature is left out
    on days whose files lack it, or hold it with another type. Raises HistoryError when there are no files.
    """
    found = _parts(root, view, since, until, baseline)
    days = {part.day for part in found}
    chosen = baseline or _before(days, since)
    held = _distributions(spark, root, view, found)
    asked = Period(since or min(days), until or max(days) + DAY)
    results = []
    for number, feature in enumerate(view.features):
        mine = {day: distribution for (day, which), distribution in held.items() if which == number}
        expected = Distribution.merged(d for day, d in mine.items() if day in chosen)
        cuts = _cuts(feature, expected if expected.rows else Distribution.merged(mine.values()))
        for day in sorted(day for day in mine if day in asked):
            of = sorted({v for p in found if p.day == day and _holds(p, feature) for v, _ in p.rows})
            results.append(
                _result(view, feature, day, mine[day], expected, cuts, ",".join(of), str(chosen), now)
            )
    return results


def _parts(
    root: str, view: View, since: date | None, until: date | None, baseline: Period | None
) -> list[Part]:
    first = since and since - BASELINE
    if baseline:
        found = {p.path: p for p in versions.parts(root, view.name, baseline.first, baseline.end)}
        found |= {p.path: p for p in versions.parts(root, view.name, since, until)}
        listed = list(found.values())
    else:
        listed = versions.parts(root, view.name, first, until)
    if not any((not since or p.day >= since) and (not until or p.day < until) for p in listed):
        path = store.features_path(root, view.name)
        asked = f" from {since or 'the first day'} to before {until or 'today'}" if since or until else ""
        raise HistoryError(
            f"there are no features of view {view.name} in {path}{asked}: run `tidemark backfill` first"
        )
    return listed


def _before(days: Iterable[date], since: date | None) -> Period:
    listed = sorted(days)
    before = [day for day in listed if since and day < since]
    if before:
        return Period(before[0], before[-1] + DAY)
    return Period(listed[0], listed[0] + BASELINE)


def _holds(part: Part, feature: Feature) -> bool:
    index = part.schema.get_field_index(feature.name)
    return index >= 0 and part.schema.field(index).type == cells.TYPES[feature.dtype]


def _distributions(
    spark: SparkSession, root: str, view: View, found: Sequence[Part]
) -> dict[tuple[date, int], Distribution]:
    """By day and the feature's place in the view."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for part in found:
        held = tuple(i for i, feature in enumerate(view.features) if _holds(part, feature))
        alike.setdefault(held, []).append(part.path)
    frames = [
        _counts(versions.load(spark, store.features_path(root, view.name), files), view, held)
        for held, files in alike.items()
        if held
    ]
    if not frames:
        return {}
    counted = reduce(DataFrame.unionAll, frames).groupBy("day", "feature", "bucket")
    table = counted.agg(F.sum("n").alias("n"), F.min("low").alias("low"), F.max("high").alias("high"))
    day, feature, bucket, n, low, high = (c.to_numpy() for c in table.toArrow().columns)
    order = np.lexsort((bucket, feature, day))
    day, feature, bucket, n, low, high = (c[order] for c in (day, feature, bucket, n, low, high))
    # Each group begins with its nulls: their bucket is below all others.
    heads = np.flatnonzero(bucket == NULL)
    distributions = {}
    for a, b in zip(heads.tolist(), [*heads[1:].tolist(), len(bucket)], strict=True):
        rest = slice(a + 1, b)
        key = date(1970, 1, 1) + timedelta(days=int(day[a])), int(feature[a])
        distributions[key] = Distribution(int(n[a]), bucket[rest], n[rest], low[rest], high[rest])
    return distributions


def _counts(rows: DataFrame, view: View, held: tuple[int, ...]) -> DataFrame:
    day = F.expr("unix_date(event_date)").alias("day")
    columns = [F.expr(_number(view.features[i])).alias(f"f{i}") for i in held]
    return rows.select(day, *columns).mapInArrow(Measure(held), COUNTS)


def _number(feature: Feature) -> str:
    """Spark SQL of the number by which a feature's values are compared."""
    name = f"`{feature.name.replace('`', '``')}`"
    if feature.dtype == "STRING":
        return f"IF({name} IS NULL, NULL, CAST(pmod(xxhash64({name}), {GROUPS}) AS DOUBLE))"
    if feature.dtype == "BOOL":
        return f"CAST(CAST({name} AS INT) AS DOUBLE)"
    if feature.dtype == "UNIX_TIMESTAMP":
        return f"(unix_micros(event_timestamp) - unix_micros({name})) / 1e6D"
    return f"CAST({name} AS DOUBLE)"


def _cuts(feature: Feature, held: Distribution) -> np.ndarray:
    # The order of hashes means nothing: every group of text is a bin.
    return held.bucket[1:] if feature.dtype == "STRING" else held.cuts()


def _result(
    view: View,
    feature: Feature,
    day: date,
    held: Distribution,
    expected: Distribution,
    cuts: np.ndarray,
    definitions: str,
    baseline: str,
    now: datetime,
) -> Quality:
    text = feature.dtype == "STRING"
    shares = expected.histogram(cuts) / max(int(expected.count.sum()), 1)
    return Quality(
        view.name,
        feature.name,
        day,
        definitions,
        held.rows,
        held.nulls,
        tuple(None if text else held.quantile(share) for share in QUANTILES),
        () if text else tuple(bounds(cuts).tolist()),
        tuple(held.histogram(cuts).tolist()),
        tuple(shares.tolist()),
        psi(expected, held, cuts),
        baseline if expected.rows else "",
        now,
    )


def keep(root: str, results: Sequence[Quality]) -> None:
    """Write results in place of earlier ones of the same view and day."""
    by_day: dict[tuple[str, date], list[Quality]] = {}
    for result in results:
        by_day.setdefault((result.view, result.day), []).append(result)
    for (view, day), held in by_day.items():
        system, folder = place(_folder(root, view))
        system.create_dir(folder)
        with system.open_output_stream(f"{folder}/.{day}.json") as file:
            file.write(msgspec.json.format(msgspec.json.encode(held)))
        system.move(f"{folder}/.{day}.json", f"{folder}/{day}.json")


def kept(root: str, view: str) -> list[Quality]:
    """All results that were kept of a view, by day."""
    system, folder = place(_folder(root, view))
    found = []
    for info in system.get_file_info(fs.FileSelector(folder, allow_not_found=True)):
        if info.extension == "json" and not info.base_name.startswith("."):
            with system.open_input_stream(info.path) as file:
                found += msgspec.json.decode(file.read(), type=list[Quality])
    return sorted(found, key=lambda q: (q.day, q.feature))


def _folder(root: str, view: str) -> str:
    return f"{root.rstrip('/')}/quality/{view}"
