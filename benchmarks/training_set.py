"""Training sets: label rows a second, beside the same features by Spark's own joins and by Feast.

    python -m benchmarks.training_set

The peers get fewer labels and events, so that they finish; ours runs at their size too, and compares there. At the full
size Spark's join is stopped when it has taken `patience` times as long as ours.

- Spark: labels joined with the events of their longest window, 30 conditional aggregates a label. The windows begin
  where the contract says, so the numbers are the same.
- Feast: get_historical_features over the table that `tidemark backfill` wrote. Feast computes no windows; it finds
  the newest row before a label, whose features are as of that row's event and have not aged since.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from benchmarks.past import FEATURES, WINDOWS, Past, past
from streaming.history.backfill import backfill
from streaming.history.store import events_path
from training import training_set

SPARK = {"count": "count", "sum": "sum", "mean": "avg", "std": "stddev_samp", "min": "min", "max": "max"}

FEAST = 500
"""Labels for Feast, which joins each with all rows of its entity in memory."""


def run(
    labels: int = 1_000_000,
    events: int = 10_000_000,
    peer_labels: int = 30_000,
    peer_events: int = 600_000,
    hot: float = 0.2,
    patience: float = 20.0,
) -> dict[str, Any]:
    """Label rows a second; `peer_labels` of 0 leaves the peers out, `patience` of 0 Spark's join at the full size."""
    report: dict[str, Any] = {"features": len(FEATURES), "hot": hot}
    with past() as place:
        out = Path(place.root).parent
        if peer_labels:
            _prepare(place, peer_labels, peer_events, hot)
            report["side by side"] = _beside(place, out)
        _prepare(place, labels, events, hot)
        seconds, rows = _timed(lambda: _ours(place, out / "ours.parquet"))
        report["ours"] = {
            "labels": rows,
            "events": events,
            "rows a second": rows / seconds,
            "seconds": seconds,
        }
        if patience:
            report["spark at that size"] = _beyond(place, str(out / "spark.parquet"), seconds, patience)
    return report


def _beyond(place: Past, out: str, ours: float, patience: float) -> dict[str, Any]:
    """Spark's join at our size: how long it took, or that it was stopped unfinished."""
    began = time.monotonic()
    with _limited(place, ours * patience) as stopped:
        _spark(place, out)
    seconds = time.monotonic() - began
    return {"finished": not stopped, "seconds": seconds, "times spark, at least": seconds / ours}


@contextmanager
def _limited(place: Past, seconds: float) -> Iterator[list[bool]]:
    """Stops the Spark jobs within when they have taken `seconds`; the list is empty if they ended before."""
    context, stopped = place.spark.sparkContext, list[bool]()

    def stop() -> None:
        stopped.append(True)
        context.cancelJobGroup("peer")

    timer = Timer(seconds, stop)
    context.setJobGroup("peer", "the peer", interruptOnCancel=True)
    timer.start()
    try:
        yield stopped
    except Exception:
        if not stopped:
            raise
    finally:
        timer.cancel()


def _beside(place: Past, out: Path) -> dict[str, Any]:
    _ours(place, out / "ours.parquet")  # what starts with the first use is in nobody's time
    seconds, rows = _timed(lambda: _ours(place, out / "ours.parquet"))
    spark_seconds, _ = _timed(lambda: _spark(place, str(out / "spark.parquet")))
    events = place.events()
    done = backfill(events, events.plan.views[0], None, None, tasks=4, now=datetime.now(UTC))
    labels = pq.read_table(str(out / "labels.parquet")).to_pandas()
    refs = [f"user_payments:{name}" for name in FEATURES]
    labels = labels.head(FEAST)
    feast_seconds, _ = _timed(lambda: place.store.get_historical_features(labels, refs).to_df())
    return {
        "labels": rows,
        "events": done.rows,
        "ours": rows / seconds,
        "spark": rows / spark_seconds,
        "feast": len(labels) / feast_seconds,
        "times spark": spark_seconds / seconds,
        "times feast": (rows / seconds) / (len(labels) / feast_seconds),
        "differing": _differing(out),
    }


def _prepare(place: Past, labels: int, events: int, hot: float) -> None:
    place.write(events, hot)
    folder = Path(place.root).parent
    frame = place.labels(labels, events).toPandas().sample(frac=1.0, random_state=1)
    frame["event_timestamp"] = frame["event_timestamp"].dt.tz_localize("UTC")
    frame.to_parquet(folder / "labels.parquet", index=False)


def _ours(place: Past, out: Path) -> int:
    refs = [f"user_payments:{name}" for name in FEATURES]
    labels = Path(place.root).parent / "labels.parquet"
    return training_set(place.store, labels, refs, out, spark=place.spark, settings=place.settings).rows


def _spark(place: Past, out: str) -> None:
    """The same features by a join and conditional aggregates."""
    spark = place.spark
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    labels = spark.read.parquet(f"{Path(place.root).parent}/labels.parquet")
    labels = labels.select("user_id", (F.col("event_timestamp") / 1000).cast("bigint").alias("t"))
    labels = labels.withColumn("row", F.monotonically_increasing_id())
    aggregates = []
    for name, (length, slide) in WINDOWS.items():
        size, step = int(length.total_seconds() * 1e6), int(slide.total_seconds() * 1e6)
        inside = F.expr(f"CASE WHEN at >= (t div {step} + 1) * {step} - {size} THEN amount END")
        aggregates += [getattr(F, of)(inside).alias(f"amount_{word}_{name}") for word, of in SPARK.items()]
    longest = max(int((length + slide).total_seconds() * 1e6) for length, slide in WINDOWS.values())
    held = spark.read.format("delta").load(events_path(place.root, "payments_stream"))
    held = held.select("user_id", F.unix_micros("at").alias("at"), "amount")
    near = (held["user_id"] == labels["user_id"]) & F.expr(f"at <= t AND at > t - {longest}")
    joined = labels.join(held, near, "left")
    joined.groupBy("row", labels["user_id"], "t").agg(*aggregates).write.mode("overwrite").parquet(out)


def _differing(out: Path) -> int:
    """How many numbers of ours and of Spark's differ by more than 1e-6 of them."""
    ours = pq.read_table(out / "ours.parquet").to_pandas()
    ours["t"] = ours.pop("event_timestamp").astype("datetime64[us, UTC]").astype("int64")
    theirs = pq.read_table(str(out / "spark.parquet")).to_pandas().drop(columns="row")
    keys = ["user_id", "t"]
    both = ours.drop_duplicates(keys).merge(theirs.drop_duplicates(keys), on=keys, suffixes=("", "_spark"))
    differing = len(ours.drop_duplicates(keys)) - len(both)
    for name in FEATURES:
        a, b = both[name].to_numpy(float), both[f"{name}_spark"].to_numpy(float)
        filler = 0.0 if "_sum_" in name else np.nan
        same = np.isclose(a, np.where(np.isnan(b), filler, b), rtol=1e-6, atol=1e-9, equal_nan=True)
        differing += int((~same).sum())
    return differing


def _timed(step: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    result = step()
    return time.monotonic() - began, result


if __name__ == "__main__":
    print(json.dumps(run()))
