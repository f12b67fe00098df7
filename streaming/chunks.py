"""A task's rows -> chunks of one view and bounded size, each with whole entities.

Rows come in any order. They are sorted once by (view, bucket of the key's hash), by counting, with as
many buckets as keep a chunk near its size; an entity is in one bucket, so no chunk ends inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

ROWS = 60_000
"""Rows of a chunk, about; an entity with more has a chunk of its own size."""


def cut(batches: Iterable[pa.RecordBatch], rows: int = ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (view index, its rows), view after view."""
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return
    table = pa.Table.from_batches(held)
    view = table.column("view").to_numpy()
    present, counts = np.unique(view, return_counts=True)
    buckets = -(-counts // rows)
    place = np.searchsorted(present, view)
    if buckets.max() > 1:
        words = table.column("h").to_numpy().view(np.uint64) >> np.uint64(32)
        bucket = (words % buckets[place].astype(np.uint64)).astype(np.int64)
        place = (np.cumsum(buckets) - buckets)[place] + bucket
    owner = np.repeat(present, buckets)
    # A stable sort of 16-bit numbers counts, rather than compares.
    order = np.argsort(place.astype(np.uint16) if len(owner) < 1 << 16 else place, kind="stable")
    joined = table.take(pa.array(order)).combine_chunks().to_batches()[0]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(owner)))]).tolist()
    for index, start, end in zip(owner.tolist(), bounds[:-1], bounds[1:], strict=True):
        if end > start:
            yield index, joined.slice(start, end - start)
