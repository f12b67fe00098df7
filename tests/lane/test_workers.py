"""Workers that are woken stay for the tasks that come, with what these need imported."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from streaming import workers


def test_tasks_meet_workers_that_were_woken(spark: Any) -> None:
    def seen(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ready = "streaming.task" in sys.modules
            pids = [os.getpid()] * batch.num_rows
            yield pa.RecordBatch.from_pydict({"pid": pids, "ready": [ready] * batch.num_rows})

    workers.wake(spark)
    cores = spark.sparkContext.defaultParallelism
    rows = spark.range(0, cores, 1, cores).mapInArrow(seen, "pid bigint, ready boolean").collect()
    assert all(row.ready for row in rows)
    assert os.getpid() not in {row.pid for row in rows}
