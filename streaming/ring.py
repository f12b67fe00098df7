"""The ring: an entity's tiles as bytes, in three fields of its Redis hash.

    _ring:<view>        header: version, epoch, identity, batch, schema, newest event, offsets
    _ring:<view>:head   young tiles, rewritten by every merge
    _ring:<view>:tail   folded tiles, rewritten when enough tiles of the head have aged

A blob of tiles names its own layout (`streaming.layout`), so old layouts stay readable: a slot it lacks
is empty, one that is gone is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streaming.errors import TidemarkError
from streaming.layout import ITEM, PREFIX, VERSION, Layout, cut
from streaming.parts import I64
from streaming.plan import Slot, View
from streaming.tiles import Tiles, concat

__all__ = ["HEADER", "ITEM", "OFFSET", "PREFIX", "VERSION", "Headers", "Offsets", "RingCodec", "Schemas"]

HEADER = np.dtype(
    [
        ("version", "u1"),
        ("reserved", "u1"),
        ("offsets", "<u2"),
        ("schema", "<u4"),
        ("epoch", "<u4"),
        ("identity", "<u8"),
        ("batch", "<i8"),
        ("newest", "<i8"),
    ]
)
OFFSET = np.dtype([("partition", "<u4"), ("offset", "<i8")])

Schemas = Mapping[int, tuple[int, tuple[Slot, ...]]]
"""Layouts by `View.schema_id`: how many hashes a set keeps, and the slots."""


@dataclass(frozen=True)
class Offsets:
    """Highest Kafka offset merged, one row per (entity, partition), sorted."""

    entity: np.ndarray
    partition: np.ndarray
    offset: np.ndarray

    @staticmethod
    def none() -> Offsets:
        return Offsets(np.empty(0, I64), np.empty(0, I64), np.empty(0, I64))

    def advance(self, other: Offsets) -> Offsets:
        """The higher offset of both for every (entity, partition)."""
        entity = np.concatenate([self.entity, other.entity])
        partition = np.concatenate([self.partition, other.partition])
        offset = np.concatenate([self.offset, other.offset])
        order = np.lexsort((-offset, partition, entity))
        entity, partition, offset = entity[order], partition[order], offset[order]
        highest = np.ones(len(order), bool)
        highest[1:] = (entity[1:] != entity[:-1]) | (partition[1:] != partition[:-1])
        return Offsets(entity[highest], partition[highest], offset[highest])


@dataclass(frozen=True)
class Headers:
    """Headers of a chunk of entities, one row each; rows that are not `present` are zeros.

    `epoch` and `identity` name the lane that wrote last, `batch` its last batch merged, `schema` the
    layout, `newest` the newest event time (ms).
    """

    present: np.ndarray
    epoch: np.ndarray
    identity: np.ndarray
    batch: np.ndarray
    schema: np.ndarray
    newest: np.ndarray
    offsets: Offsets


class RingCodec:
    """Reads and writes the rings of one view; `schemas` are its older layouts."""

    def __init__(self, view: View, schemas: Schemas | None = None) -> None:
        self.view = view
        name = b"_ring:" + view.stored_name.encode()
        self.fields = (name, name + b":head", name + b":tail")
        known = {**(schemas or {}), view.schema_id: (view.distinct_k, view.slots)}
        self._layouts = {number: Layout(view, number, k, slots) for number, (k, slots) in known.items()}

    def decode_headers(self, blobs: Sequence[bytes | None]) -> Headers:
        """Headers of entities, None or b"" where an entity has none. Raises TidemarkError."""
        held = [blob or b"" for blob in blobs]
        lengths = np.array(list(map(len, held)), I64)
        present = lengths > 0
        fixed = np.zeros(len(held), HEADER)
        if (lengths[present] < HEADER.itemsize).any():
            raise self._unreadable("a header is cut short")
        fixed[present] = np.frombuffer(b"".join([blob[: HEADER.itemsize] for blob in held]), HEADER)
        if (fixed["version"][present] != VERSION).any():
            raise self._unreadable("a header is of an unknown version")
        counts = fixed["offsets"].astype(I64)
        if (lengths != present * HEADER.itemsize + counts * OFFSET.itemsize).any():
            raise self._unreadable("a header has a wrong length")
        table = np.frombuffer(b"".join([blob[HEADER.itemsize :] for blob in held]), OFFSET)
        return Headers(
            present,
            fixed["epoch"].astype(I64),
            fixed["identity"].astype(np.uint64),
            fixed["batch"].astype(I64),
            fixed["schema"].astype(I64),
            fixed["newest"].astype(I64),
            Offsets(
                np.repeat(np.arange(len(held)), counts),
                table["partition"].astype(I64),
                table["offset"].astype(I64),
            ),
        )

    def encode_headers(self, headers: Headers) -> list[bytes]:
        """One blob per row, whether present or not."""
        rows = len(headers.newest)
        fixed = np.zeros(rows, HEADER)
        for name in ("schema", "epoch", "identity", "batch", "newest"):
            fixed[name] = getattr(headers, name)
        fixed["version"] = VERSION
        counts = np.bincount(headers.offsets.entity, minlength=rows)
        fixed["offsets"] = counts
        table = np.zeros(len(headers.offsets.entity), OFFSET)
        table["partition"], table["offset"] = headers.offsets.partition, headers.offsets.offset
        starts = cut(fixed.tobytes(), np.arange(rows + 1) * HEADER.itemsize)
        tables = cut(table.tobytes(), np.append(0, np.cumsum(counts)) * OFFSET.itemsize)
        return list(map(bytes.__add__, starts, tables))

    def decode_tiles(self, headers: Headers, blobs: Sequence[bytes | None]) -> Tiles:
        """Tiles of one level (head or tail); entity i's blob is `blobs[i]`, None or b"" for none.

        Raises TidemarkError for a blob that is damaged, of an unknown version or layout, or that has
        no header.
        """
        held = [blob for blob in blobs if blob]
        entities = np.array([i for i, blob in enumerate(blobs) if blob], I64)
        if not headers.present[entities].all():
            raise self._unreadable("tiles without a header")
        starts = b"".join([blob[: PREFIX.itemsize] for blob in held])
        if len(starts) != len(held) * PREFIX.itemsize:
            raise self._unreadable("a blob of tiles is cut short")
        prefix = np.frombuffer(starts, PREFIX)
        if (prefix["tiles"] >> 24 != VERSION).any():
            raise self._unreadable("tiles are of an unknown version")
        decoded = []
        for schema in set(prefix["schema"].tolist()):
            if schema not in self._layouts:
                raise self._unreadable(f"layout {schema} is unknown")
            mine = np.flatnonzero(prefix["schema"] == schema)
            some = held if len(mine) == len(held) else [held[i] for i in mine.tolist()]
            try:
                decoded.append(self._layouts[schema].decode(some, entities[mine]))
            except ValueError as error:
                raise self._unreadable(str(error)) from error
        return decoded[0] if len(decoded) == 1 else concat(self.view.slots, decoded)

    def encode_tiles(self, tiles: Tiles, entities: int) -> list[bytes]:
        """One blob per entity, b"" when it has no tiles; `tiles` are sorted by (entity, start)."""
        return self._layouts[self.view.schema_id].encode(tiles, entities)

    def _unreadable(self, why: str) -> TidemarkError:
        return TidemarkError(
            f"a ring of view {self.view.stored_name} cannot be read ({why}): "
            f"run `tidemark stream reset --views {self.view.name}` and then `tidemark rebuild`"
        )
