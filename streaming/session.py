"""The Spark session every lane runs in: settings that the semantics or the latency depend on.

What a person tunes for their cluster is in conf/spark-defaults.conf; what is set here is either part
of the contract (UTC, no speculation, nulls instead of exceptions on a failed cast) or was measured.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from streaming import local_files
from streaming.kafka import REDACTION
from streaming.warm_start import Archive

LOCAL_CHECKPOINTS = (
    "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
)

CONTRACT = {
    "spark.sql.session.timeZone": "UTC",
    # One event with a bad value must become null or a quarantined event, never a query that cannot go on.
    "spark.sql.ansi.enabled": "false",
    # A speculative copy of a task would race the first for the same rings.
    "spark.speculation": "false",
    # Options of sources hold the keys and passwords of Kafka.
    "spark.redaction.regex": REDACTION,
}

ARROW_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
ARROW_BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"
BOUNDS = (ARROW_ROWS, ARROW_BYTES)
"""Settings of how much Python is handed at once."""

LATENCY = {
    "spark.sql.adaptive.enabled": "false",
    "spark.locality.wait": "0s",
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    # Loopback TCP to Python workers waits 40 ms for delayed acknowledgements in every task.
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.python.worker.reuse": "true",
    ARROW_ROWS: "50000",
    # What a task hands to Python may be many large rows: Arrow's columns end at 2 GB.
    ARROW_BYTES: str(256 << 20),
    "spark.sql.execution.pythonUDF.arrow.enabled": "true",
    "spark.shuffle.compress": "true",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}

JAVA_OPTIONS = "spark.driver.extraJavaOptions"

COLLECTOR = "-XX:+UseParallelGC"
"""G1's barriers and helper threads cost a seventh of a drain on two cores."""

JVM = (
    f"{COLLECTOR} "
    # C2 compiles what is called ten times as often as by default: a quarter of the JVM's time went into code that
    # is busy while Spark starts, and never again.
    "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"
)
"""Options of a local session's JVM."""

PREPARING = {JAVA_OPTIONS: COLLECTOR}
"""Settings of a JVM that runs no jobs but prepares messages, a few at a time: C2 pays, a call takes two thirds."""


@contextmanager
def bounded_by_rows(spark: SparkSession, largest: int) -> Iterator[None]:
    """A query that is started within hands Python messages of up to `largest` bytes by number, not by size.

    Sizes are looked at after every row, by a walk over all columns: an eighth of a drain's time in the JVM. Spark
    gives each query a copy of its session's settings as it starts.
    """
    before = {name: spark.conf.get(name) for name in BOUNDS}
    given = int(before[ARROW_ROWS] or 0)
    # Spark takes 0 for no bound.
    rows = min(given if given > 0 else 1000, 1000, max((1 << 30) // largest, 1))
    bounds = {ARROW_ROWS: rows, ARROW_BYTES: 2**31 - 1}
    try:
        for name, bound in bounds.items():
            spark.conf.set(name, str(bound))
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value or "")


def submitted() -> SparkConf:
    """What spark-submit was given; empty where it does not run this program."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        # The JVM is there before the program, and Python asks it only when told to.
        SparkContext._ensure_initialized()
    return SparkConf()


def build(
    app: str = "tidemark",
    *,
    master: str | None = None,
    jars: tuple[Path, ...] | list[Path] = (),
    shuffle_partitions: int | None = None,
    driver_memory: str | None = None,
    conf: Mapping[str, str] | None = None,
) -> SparkSession:
    """Start (or join) the session.

    `master` is left to spark-submit when None and one is configured there; `jars` go on the driver's
    class path. `conf` wins over the latency settings, as does what spark-submit was given, but not over
    the contract.
    """
    builder = SparkSession.builder.appName(app)
    given = submitted()
    settings = {key: value for key, value in LATENCY.items() if not given.contains(key)}
    if master:
        builder = builder.master(master)
    if master and master.startswith("local"):
        # PySpark takes the workers' interpreter from the environment alone.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        # rename(2) is atomic on a local disk; Hadoop's default manager forks ten processes a file.
        settings["spark.sql.streaming.checkpointFileManagerClass"] = LOCAL_CHECKPOINTS
        settings["spark.log.level"] = "ERROR"
        settings[JAVA_OPTIONS] = JVM
        settings["spark.driver.host"] = "127.0.0.1"
        settings["spark.driver.bindAddress"] = "127.0.0.1"
    if jars:
        settings["spark.driver.extraClassPath"] = ":".join(str(jar) for jar in jars)
        if master and not master.startswith("local"):
            # Executors have the jars where the driver has them: one image for both.
            settings["spark.executor.extraClassPath"] = settings["spark.driver.extraClassPath"]
    if shuffle_partitions:
        settings["spark.sql.shuffle.partitions"] = str(shuffle_partitions)
    if driver_memory:
        settings["spark.driver.memory"] = driver_memory
    settings.update(conf or {})
    if jars and JAVA_OPTIONS in settings:
        # Before what a person gives, which so can turn it off and keeps its own logging.
        settings[JAVA_OPTIONS] = f"{Archive(tuple(jars)).options} {settings[JAVA_OPTIONS]}".strip()
    settings.update(CONTRACT)
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    if str(spark.sparkContext.master).startswith("local"):
        local_files.install(spark)
    return spark
