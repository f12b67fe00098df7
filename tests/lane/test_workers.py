"""Workers that are woken stay for the tasks that come, with what these need imported."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from streaming import workers


def test_tasks_meet_workers_that_were_woken(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ready = "streaming.task" in sys.modules
            yield pa.RecordBatch.from_pydict({"ready": [ready] * batch.num_rows})

    def ready() -> list[bool]:
        return [
            row.ready for row in spark.range(0, cores, 1, cores).mapInArrow(seen, "ready boolean").collect()
        ]

    cores = spark.sparkContext.defaultParallelism
    # Spark keeps workers of their own for each environment.
    monkeypatch.setitem(spark.sparkContext.environment, "TIDEMARK_TEST", "woken")
    assert ready() == [False] * cores
    workers.wake(spark)
    assert ready() == [True] * cores
