"""The demo's closing chapter, as a child process with one Spark: history, a training set, parity.

python -m tidemark.demo.past REPO CHECKPOINT FOLDER prints one JSON object.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from rich.console import Console

from streaming.errors import ServiceError
from streaming.history.parity_runs import Run
from tidemark.demo import closing
from tidemark.demo.place import Place
from tidemark.jars import spark_jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LABELS = 2_000
SERVICE = "transaction_risk"
COMPARED = ("user_transactions", "merchant_transactions", "device_telemetry")
"""Views whose served vectors are recomputed: a merchant's events come over many partitions."""


class Past(msgspec.Struct):
    """What history holds by source, a training set of `rows` (`frauds` of them) and `columns`, and parity."""

    written: dict[str, int]
    duplicates: int
    quarantined: int
    rows: int
    frauds: int
    columns: int
    parity: Run


def begin(place: Place) -> subprocess.Popen[bytes]:
    """Start the chapter; the online lane must have caught up."""
    words = [str(place.repo), str(place.dir / "checkpoint"), str(place.dir)]
    with place.history_log.open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tidemark.demo.past", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )


def tell(begun: subprocess.Popen[bytes], place: Place, console: Console) -> None:
    """Wait for the chapter and print it. Raises ServiceError naming its log when it fails, or when a value differs."""
    log = place.history_log
    said, _ = begun.communicate()
    if begun.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise ServiceError(f"history failed: {lines[-1] if lines else 'it said nothing'} (log: {log})")
    past = msgspec.json.decode(said.splitlines()[-1], type=Past)
    closing.heading(console, "history: a training set, and parity of what was served with what training sees")
    kept = ", ".join(f"{count:,} {source.removesuffix('_stream')}" for source, count in past.written.items())
    for line in (
        f"{kept} in Delta, each event once ({past.duplicates:,} duplicates and {past.quarantined:,} malformed apart)",
        f"training set: {past.rows:,} payments ({past.frauds:,} frauds) with {past.columns} features of {SERVICE}, each "
        "as of its payment",
        f"parity: {past.parity.compared:,} served values ({past.parity.logged:,} logged vectors, {past.parity.read:,} "
        f"reads) of {', '.join(COMPARED)} recomputed from history: {past.parity.wrong:,} differ",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    if past.parity.wrong:
        raise ServiceError(f"{past.parity.wrong:,} served values differ from history (log: {log})")


def main(repo: Path, checkpoint: Path, folder: Path) -> Past:
    """All of it, in one session."""
    from streaming.checkpoint import Checkpoint
    from streaming.jobs.runner import planned
    from streaming.lanes.history import HistoryLane
    from streaming.settings import HistorySettings
    from streaming.sinks.delta import SPARK
    from tidemark.commands.parity import compare

    root, archive = str(folder / "history"), folder / "history-checkpoint"
    settings = HistorySettings.model_validate({"history": root, "history_windows": "none"})
    settings = settings.model_copy(update={"history_sessions": False})
    held = Checkpoint(str(checkpoint))
    with planned("history", repo, None, held, settings, None, spark_jars, SPARK) as (spark, plan):
        lines: list[dict[str, Any]] = []
        HistoryLane(plan, (), str(archive), settings, spark, lines.append).run(until_caught_up=True)
        arrivals = [line for line in lines if line["flow"] == "arrivals"]
        rows, frauds, columns = learn(repo, spark, root, folder)
        arrived = Checkpoint(str(archive / "arrivals"))
        compared = replace(plan, views=tuple(view for view in plan.views if view.name in COMPARED))
        run = compare(repo, compared, spark, root, held, arrived, 800, 100)
    return Past(
        dict(sum((Counter(line["written"]) for line in arrivals), Counter[str]())),
        sum(line["duplicates"] for line in arrivals),
        sum(sum(reasons.values()) for line in arrivals for reasons in line["quarantined"].values()),
        rows,
        frauds,
        columns,
        run,
    )


def learn(repo: Path, spark: SparkSession, root: str, folder: Path) -> tuple[int, int, int]:
    """A training set of payments; its rows, its frauds and its features."""
    from pyspark.sql import functions as F

    from streaming.history import store
    from streaming.history.store import StoreSettings
    from training import training_set

    payments = store.events(spark, root, "transactions_stream").where("merchant_id IS NOT NULL")
    chosen = payments.orderBy(F.desc("is_fraud"), F.xxhash64("transaction_id")).limit(LABELS)
    place = ("_topic", "_partition", "_offset")
    labels = chosen.selectExpr("user_id", "merchant_id", "timestamp AS event_timestamp", "is_fraud", *place)
    settings = StoreSettings.model_validate({"history": root})
    done = training_set(repo, labels, SERVICE, folder / "training.parquet", spark=spark, settings=settings)
    return done.rows, labels.where("is_fraud").count(), len(done.features)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found = main(*map(Path, sys.argv[1:4]))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
