"""Weeks of a stream as the history lane would have kept them, without sending them through Kafka first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from pyarrow import parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from generators.contracts import STREAMS
from generators.encode import encode
from generators.population import Population
from generators.simulate import stream
from streaming import source as admission
from streaming.history.store import events_path
from streaming.plan import Source

PIECE, PARTITIONS = 100_000, 4


def store(
    spark: SparkSession,
    root: str,
    source: Source,
    name: str,
    *,
    start: datetime,
    events: int,
    rate: float,
    seed: int = 0,
    population: Population | None = None,
) -> None:
    """Write `events` events of the stream `name` from `start` on, `rate` a second, as history of `source`.

    They pass through the engine's own parsing and admission; those that it would quarantine are left out.
    """
    with TemporaryDirectory(prefix="tidemark-replay-") as folder:
        first = int(start.timestamp() * 1000)
        for number, piece in enumerate(_pieces(name, source.topic, first, events, rate, seed, population)):
            pq.write_table(piece, Path(folder) / f"{number:05d}.parquet")
        raw = spark.read.parquet(folder)
        rows = admission.admit(raw, [source]).where("_code = 0")
        rows.select(
            "source_0.*",
            F.lit(source.topic).alias("_topic"),
            "_partition",
            "_offset",
            "_arrived",
            F.lit(False).alias("_late"),
            F.current_timestamp().alias("_created"),
            F.to_date(F.col(f"source_0.`{source.timestamp_field}`")).alias("event_date"),
        ).write.format("delta").mode("append").partitionBy("event_date").save(events_path(root, source.name))


def _pieces(
    name: str, topic: str, first: int, events: int, rate: float, seed: int, population: Population | None
) -> Iterator[pa.Table]:
    """Rows of Kafka's source, keys to partitions as a producer would."""
    key = STREAMS[name].key
    sent = np.zeros(PARTITIONS, np.int64)
    for begin in range(0, events, PIECE):
        size = min(PIECE, events - begin)
        made = stream(
            name, seed=seed, start_index=begin, n=size, start_time=first, rate=rate, population=population
        )
        _, values = encode(name, made)
        partition = made.columns[key].rows % PARTITIONS
        offset = np.zeros(size, np.int64)
        for number in range(PARTITIONS):
            mine = partition == number
            offset[mine] = sent[number] + np.arange(mine.sum())
            sent[number] += mine.sum()
        yield pa.table(
            {
                "topic": pa.array([topic] * size),
                "partition": pa.array(partition, pa.int32()),
                "offset": pa.array(offset),
                "timestamp": pa.array(made.at * 1000, pa.timestamp("us", "UTC")),
                "value": pa.array(values, pa.binary()),
            }
        )
