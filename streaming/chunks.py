"""Arrow batches of events -> chunks of bounded size, cut where an entity ends.

A task's rows come sorted by (view, hash of the key), so an entity's rows are neighbours, but one
entity can span Arrow batches: a chunk never ends inside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

ROWS = 60_000
"""Rows after which a chunk is cut."""


def cut(batches: Iterable[pa.RecordBatch], rows: int = ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (view index, its rows); a view's entity is whole within one of them."""
    pending: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        pending.append(batch)
        held += batch.num_rows
        if held < rows:
            continue
        joined = _join(pending)
        place = _last_boundary(joined)
        if place:
            yield from _by_view(joined.slice(0, place))
        pending, held = [joined.slice(place)], joined.num_rows - place
    if held:
        yield from _by_view(_join(pending))


def _join(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _changes(batch: pa.RecordBatch, *names: str) -> np.ndarray:
    """Rows at which any of the integer columns differs from the row before."""
    differs = np.zeros(max(batch.num_rows - 1, 0), bool)
    for name in names:
        values = batch.column(name).to_numpy(zero_copy_only=False)
        differs |= values[1:] != values[:-1]
    return np.flatnonzero(differs) + 1


def _last_boundary(batch: pa.RecordBatch) -> int:
    places = _changes(batch, "view", "h")
    return int(places[-1]) if len(places) else 0


def _by_view(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    bounds = [0, *_changes(batch, "view").tolist(), batch.num_rows]
    view = batch.column("view")
    for start, end in itertools.pairwise(bounds):
        yield view[start].as_py(), batch.slice(start, end - start)
