"""Batches sent by Spark's tasks to a server over HTTP, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from streaming.sinks.contract import SinkAway, SinkRefused
from streaming.sinks.trouble import reported

ROWS = 1_000
"""Rows of one request."""
OUTPUT = "away string, refused string"


@dataclass(frozen=True)
class Sending:
    """The function for `mapInArrow`: gives `post` the rows; yields what it raised, for the driver to raise."""

    post: Callable[[list[dict[str, Any]]], None]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        away = refused = None
        try:
            for batch in batches:
                for start in range(0, batch.num_rows, ROWS):
                    self.post(batch.slice(start, ROWS).to_pylist())
        except SinkAway as error:
            away = str(error)
        except SinkRefused as error:
            refused = str(error)
        if away or refused:
            yield pa.RecordBatch.from_pydict(
                {"away": [away], "refused": [refused]},
                schema=pa.schema([("away", pa.string()), ("refused", pa.string())]),
            )


def send(rows: DataFrame, where: str, post: Callable[[list[dict[str, Any]]], None]) -> None:
    """Have `post` send all rows, ROWS at most at a time. Raises what it raised, SinkRefused before SinkAway."""
    with reported(where):
        said = rows.mapInArrow(Sending(post), OUTPUT).collect()
    for row in said:
        if row.refused:
            raise SinkRefused(row.refused)
    for row in said:
        raise SinkAway(row.away)


def chosen(patterns: Iterable[str], table: str) -> bool:
    """Whether a table's name fits one of the patterns, such as events/* or topics/alerts."""
    return any(fnmatchcase(table, pattern) for pattern in patterns)
