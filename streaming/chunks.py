"""Arrow batches of partials -> chunks of bounded size, cut where an entity ends.

A task's rows come sorted by (view, hash of the key), so an entity's rows are neighbours, but one
entity can span Arrow batches: a chunk never ends inside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming import parts
from streaming.distinct import Items
from streaming.parts import I64, INT_MIN
from streaming.plan import View
from streaming.tiles import Tiles

ROWS = 60_000
"""Rows after which a chunk is cut."""

NO_KEY, FILTERED, TILE = -2, -3, -1
"""Values of `item`: outcomes of events a view does not use, and the ordinary rows of tiles."""


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


@dataclass(frozen=True)
class Partial:
    """A view's partials in one chunk: `keys` of its entities, unmerged `tiles` and what came with them.

    `rows`, `late` and `bad` are counts per row of `tiles`; `newest` is the newest event time of each
    entity (ms); (`owner`, `part`, `offset`) the highest offset of each entity's rows by partition.
    """

    keys: list[bytes]
    tiles: Tiles
    newest: np.ndarray
    owner: np.ndarray
    part: np.ndarray
    offset: np.ndarray
    rows: np.ndarray
    late: int
    bad: int
    no_key: int
    filtered: int


def read(view: View, batch: pa.RecordBatch, fields: Mapping[str, str]) -> Partial:
    """The rows of one view as tiles; `fields` maps stored fields to the columns of the batch."""
    item = _numbers(batch, "item")
    rows = _numbers(batch, "rows")
    late, bad = int(_numbers(batch, "late").sum()), int(_numbers(batch, "bad").sum())
    no_key, filtered = int(rows[item == NO_KEY].sum()), int(rows[item == FILTERED].sum())
    if no_key or filtered:
        kept = pa.array(item >= TILE)
        batch = pa.RecordBatch.from_arrays([c.filter(kept) for c in batch.columns], schema=batch.schema)
        item = _numbers(batch, "item")
    encoded = batch.column("key").dictionary_encode()
    entity = encoded.indices.to_numpy(zero_copy_only=False).astype(I64)
    keys = encoded.dictionary.to_pylist()
    is_tile = item == TILE
    whole = bool(is_tile.all())
    tiles_of = batch if whole else batch.filter(pa.array(is_tile))
    start = _numbers(batch, "tile")
    owner = entity if whole else entity[is_tile]
    newest = np.full(len(keys), INT_MIN)
    np.maximum.at(newest, owner, _numbers(tiles_of, "newest"))
    items = Items.none() if whole else _items(batch, entity, start, item, ~is_tile)
    return Partial(
        keys,
        Tiles(owner, start if whole else start[is_tile], _columns(view, tiles_of, fields), items),
        newest,
        owner,
        _numbers(tiles_of, "part"),
        _numbers(tiles_of, "offset"),
        _numbers(tiles_of, "rows"),
        late,
        bad,
        no_key,
        filtered,
    )


def _numbers(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return batch.column(name).to_numpy(zero_copy_only=False).astype(I64, copy=False)


def _items(
    batch: pa.RecordBatch, entity: np.ndarray, start: np.ndarray, item: np.ndarray, mine: np.ndarray
) -> Items:
    hashes = batch.column("hash").to_numpy(zero_copy_only=False)[mine].astype(I64).view(np.uint64)
    return Items(entity[mine], start[mine], item[mine].astype(np.uint16), hashes)


def _columns(view: View, batch: pa.RecordBatch, fields: Mapping[str, str]) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for field in parts.fields(view.slots):
        if field.name.endswith((".hi", ".lo")):
            continue
        column = batch.column(fields[field.name])
        if field.dtype == parts.TEXT:
            binary = column.cast(pa.binary()).to_pylist()
            values = np.empty(len(binary), parts.TEXT)
            values[:] = binary
        elif column.null_count:
            values = (
                column.fill_null(field.empty).to_numpy(zero_copy_only=False).astype(field.dtype, copy=False)
            )
        else:
            values = column.to_numpy(zero_copy_only=False).astype(field.dtype, copy=False)
        columns[field.name] = values
        if (ordered := fields.get(field.name + ".ord")) is not None:
            columns.update(_order(view, field.name, batch.column(ordered)))
    return columns


def _order(view: View, name: str, column: pa.Array) -> dict[str, np.ndarray]:
    """Halves of a decimal(38, 0) column; empty where it is null."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    offset, raw = column.offset, column.buffers()[1]
    words = np.frombuffer(raw, I64)[2 * offset : 2 * (offset + len(column))]
    halves = parts.split_order(words)
    empties = {f.name: f.empty for f in parts.fields(view.slots)}
    return {
        f"{name}.{side}": np.where(valid, half, np.array(empties[f"{name}.{side}"], half.dtype))
        for side, half in zip(("hi", "lo"), halves, strict=True)
    }
