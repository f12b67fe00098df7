"""Backfill: events a second from Delta to Parquet, 5 windows of 6 statistics, as of each event.

    python -m benchmarks.backfill

Each size is written anew and backfilled twice in one session; the second, warm run is reported beside the first.
`growth` is how the seconds of the largest size compare with those of the smallest, per event: 1 is linear.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.past import FEATURES, past, worker_memory
from streaming.history.backfill import backfill


def run(sizes: Sequence[int] = (1_000_000, 10_000_000), hot: float = 0.2) -> dict[str, Any]:
    """Events a second for each size; `hot` is the share of one user."""
    report: dict[str, Any] = {"features": len(FEATURES), "hot": hot, "sizes": []}
    with past() as place:
        cores = place.spark.sparkContext.defaultParallelism
        events = place.events()
        for size in sizes:
            place.write(size, hot)
            seconds = []
            for _ in range(2):
                began = time.monotonic()
                done = backfill(
                    events, events.plan.views[0], None, None, tasks=4 * cores, now=datetime.now(UTC)
                )
                seconds.append(time.monotonic() - began)
                assert done.rows == size
            report["sizes"].append(
                {
                    "events": size,
                    "first": size / seconds[0],
                    "warm": size / seconds[1],
                    "worker_bytes": worker_memory(),
                }
            )
    small, large = report["sizes"][0], report["sizes"][-1]
    return report | {"cores": cores, "growth": small["warm"] / large["warm"]}


if __name__ == "__main__":
    print(json.dumps(run()))
