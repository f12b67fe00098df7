"""The ring: an entity's tiles as bytes, in three fields of its Redis hash.

    _ring:<view>        header: version, epoch, identity, batch, schema, newest event, offsets
    _ring:<view>:head   young tiles, rewritten by every merge
    _ring:<view>:tail   folded tiles, rewritten when enough tiles of the head have aged

A blob of tiles names its own layout, so old layouts stay readable: a slot it lacks is empty, one that
is gone is dropped. All numbers are little-endian.

    tiles:  schema u32 | version u8, number of tiles u24 | records | hashes u64 | texts
    record: start i64, then the fields of each slot; a text is its length u32 (2^32 - 1 for none),
            a hash set its size u16. Hashes and texts follow in the order of the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streaming import distinct, parts
from streaming.distinct import Items
from streaming.errors import TidemarkError
from streaming.parts import I64, TEXT
from streaming.plan import Slot, View
from streaming.tiles import Tiles, concat

VERSION = 1
NO_TEXT = 2**32 - 1
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
PREFIX = np.dtype([("schema", "<u4"), ("tiles", "<u4")])

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
        self._layouts = {number: _Layout(view, k, slots) for number, (k, slots) in known.items()}

    def decode_headers(self, blobs: Sequence[bytes | None]) -> Headers:
        """Headers of entities, None or b"" where an entity has none. Raises TidemarkError."""
        held = [blob or b"" for blob in blobs]
        lengths = np.fromiter(map(len, held), I64, len(held))
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
        head, tail = fixed.tobytes(), table.tobytes()
        starts = range(0, rows * HEADER.itemsize, HEADER.itemsize)
        ends = (np.cumsum(counts) * OFFSET.itemsize).tolist()
        begins = [0, *ends[:-1]]
        size = HEADER.itemsize
        return [head[s : s + size] + tail[b:e] for s, b, e in zip(starts, begins, ends, strict=True)]

    def decode_tiles(self, headers: Headers, blobs: Sequence[bytes | None]) -> Tiles:
        """Tiles of one level (head or tail); entity i's blob is `blobs[i]`, None or b"" for none.

        Raises TidemarkError for a blob that is damaged, of an unknown version or layout, or that has
        no header.
        """
        lengths = np.fromiter((len(blob) if blob else 0 for blob in blobs), I64, len(blobs))
        entities = np.flatnonzero(lengths)
        if not headers.present[entities].all():
            raise self._unreadable("tiles without a header")
        held = [blob for blob in blobs if blob]
        if (lengths[entities] < PREFIX.itemsize).any():
            raise self._unreadable("a blob of tiles is cut short")
        prefix = np.frombuffer(b"".join([blob[: PREFIX.itemsize] for blob in held]), PREFIX)
        if (prefix["tiles"] >> 24 != VERSION).any():
            raise self._unreadable("tiles are of an unknown version")
        counts = (prefix["tiles"] & 0xFFFFFF).astype(I64)
        decoded = []
        for schema in np.unique(prefix["schema"]).tolist():
            if schema not in self._layouts:
                raise self._unreadable(f"layout {schema} is unknown")
            mine = np.flatnonzero(prefix["schema"] == schema)
            some = held if len(mine) == len(held) else [held[i] for i in mine.tolist()]
            try:
                decoded.append(self._layouts[schema].decode(some, entities[mine], counts[mine]))
            except ValueError as error:
                raise self._unreadable(str(error)) from error
        return decoded[0] if len(decoded) == 1 else concat(self.view.slots, decoded)

    def encode_tiles(self, tiles: Tiles, entities: int) -> list[bytes]:
        """One blob per entity, b"" when it has no tiles; `tiles` are sorted by (entity, start)."""
        return self._layouts[self.view.schema_id].encode(self.view.schema_id, tiles, entities)

    def _unreadable(self, why: str) -> TidemarkError:
        return TidemarkError(
            f"a ring of view {self.view.stored_name} cannot be read ({why}): "
            f"run `tidemark stream reset --views {self.view.name}` and then `tidemark rebuild`"
        )


class _Layout:
    """One layout of a view's tiles, that of now or an older one."""

    def __init__(self, view: View, k: int, slots: tuple[Slot, ...]) -> None:
        self.view = view
        self.slots = slots
        self.fields = parts.fields(slots)
        self.texts = [f.name for f in self.fields if f.dtype == TEXT]
        self.sets = [i for i, slot in enumerate(slots) if slot.part == "distinct"]
        stored: list[tuple[str, Any]] = [("start", "<i8")]
        stored += [(f.name, "<u4" if f.dtype == TEXT else f.dtype.newbyteorder("<")) for f in self.fields]
        stored += [(slots[i].name, "<u2") for i in self.sets]
        self.record = np.dtype(stored)
        # A set that kept fewer hashes than the view now asks for cannot be continued.
        self.kept = {s for s in slots if s in view.slots and (s.part != "distinct" or k >= view.distinct_k)}
        self.numbers = np.array(
            [view.slots.index(s) if s in self.kept else 2**16 - 1 for s in slots], np.uint16
        )

    def decode(self, blobs: list[bytes], entities: np.ndarray, counts: np.ndarray) -> Tiles:
        """Raises ValueError when lengths do not add up."""
        lengths = np.fromiter(map(len, blobs), I64, len(blobs))
        ends = PREFIX.itemsize + counts * self.record.itemsize
        if (ends > lengths).any():
            raise ValueError("a blob of tiles is cut short")
        limits = ends.tolist()
        data = b"".join([blob[PREFIX.itemsize : end] for blob, end in zip(blobs, limits, strict=True)])
        records = np.frombuffer(data, self.record)
        entity = np.repeat(entities, counts)
        start = records["start"].astype(I64)
        sizes = self._sizes(records, counts, len(blobs))
        if (ends + sizes.sum(axis=0) != lengths).any():
            raise ValueError("a blob of tiles has a wrong length")
        middles = (ends + sizes[0]).tolist()
        columns, items = {}, Items.none()
        if self.sets:
            hashes = b"".join([blob[a:b] for blob, a, b in zip(blobs, limits, middles, strict=True)])
            items = self._items(records, entity, start, np.frombuffer(hashes, "<u8").astype(np.uint64))
        if self.texts:
            heap = b"".join([blob[a:] for blob, a in zip(blobs, middles, strict=True)])
            columns.update(self._texts(records, heap))
        kept = {f.name for f in parts.fields(self.kept)}
        for field in parts.fields(self.view.slots):
            if field.name not in kept:
                columns[field.name] = np.full(len(records), field.empty, field.dtype)
            elif field.name not in columns:
                columns[field.name] = records[field.name].astype(field.dtype)
        return Tiles(entity, start, columns, items)

    def _sizes(self, records: np.ndarray, counts: np.ndarray, blobs: int) -> np.ndarray:
        """Bytes of hashes and of texts in each blob, int64[2, blobs]."""
        blob = np.repeat(np.arange(blobs), counts)
        sizes = np.zeros((2, blobs), I64)
        for slot in self.sets:
            np.add.at(sizes[0], blob, 8 * records[self.slots[slot].name].astype(I64))
        for name in self.texts:
            length = records[name].astype(I64)
            np.add.at(sizes[1], blob, np.where(length == NO_TEXT, 0, length))
        return sizes

    def _items(self, records: np.ndarray, entity: np.ndarray, start: np.ndarray, hashes: np.ndarray) -> Items:
        sizes = np.stack([records[self.slots[slot].name] for slot in self.sets], axis=1).ravel()
        tile = np.repeat(np.repeat(np.arange(len(records)), len(self.sets)), sizes)
        slot = np.repeat(np.tile(self.numbers[self.sets], len(records)), sizes)
        items = Items(entity[tile], start[tile], slot, hashes)
        return items.take(slot != 2**16 - 1)

    def _texts(self, records: np.ndarray, heap: bytes) -> dict[str, np.ndarray]:
        lengths = np.stack([records[name] for name in self.texts], axis=1).astype(I64)
        none = lengths == NO_TEXT
        sizes = np.where(none, 0, lengths).ravel()
        ends = np.cumsum(sizes)
        texts = np.empty(lengths.size, TEXT)
        pairs = zip((ends - sizes).tolist(), ends.tolist(), none.ravel().tolist(), strict=True)
        texts[:] = [None if missing else heap[a:b] for a, b, missing in pairs]
        return dict(zip(self.texts, texts.reshape(lengths.shape).T, strict=True))

    def encode(self, schema: int, tiles: Tiles, entities: int) -> list[bytes]:
        records = np.empty(len(tiles), self.record)
        records["start"] = tiles.start
        for field in self.fields:
            if field.dtype != TEXT:
                records[field.name] = tiles.columns[field.name]
        first = np.searchsorted(tiles.entity, np.arange(entities + 1))
        counts = np.diff(first)
        sections: list[tuple[Any, np.ndarray]] = [(records, first * self.record.itemsize)]
        if self.sets:
            sections.append(self._encoded_items(records, tiles, entities))
        if self.texts:
            sections.append(self._encoded_texts(records, tiles, first))
        prefix = np.empty(entities, PREFIX)
        prefix["schema"], prefix["tiles"] = schema, counts | VERSION << 24
        prefixes = prefix.tobytes()
        raw = [
            (data.tobytes() if isinstance(data, np.ndarray) else data, bounds.tolist())
            for data, bounds in sections
        ]
        return [
            prefixes[8 * i : 8 * i + 8] + b"".join([data[b[i] : b[i + 1]] for data, b in raw])
            if count
            else b""
            for i, count in enumerate(counts.tolist())
        ]

    def _encoded_items(
        self, records: np.ndarray, tiles: Tiles, entities: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hashes in the order of the records, and where each entity's begin; fills in the sizes."""
        items = tiles.items
        tile = _tile_of(items, tiles)
        for slot in self.sets:
            records[self.slots[slot].name] = np.bincount(tile[items.slot == slot], minlength=len(tiles))
        order = np.lexsort((items.hash, items.slot, tile))
        bounds = np.searchsorted(items.entity[order], np.arange(entities + 1))
        return items.hash[order].astype("<u8"), bounds * 8

    def _encoded_texts(
        self, records: np.ndarray, tiles: Tiles, first: np.ndarray
    ) -> tuple[bytes, np.ndarray]:
        """Texts in the order of the records, and where each entity's begin; fills in the lengths."""
        texts = np.stack([tiles.columns[name] for name in self.texts], axis=1)
        lengths = np.array(
            [[NO_TEXT if text is None else len(text) for text in row] for row in texts.tolist()], I64
        )
        lengths = lengths.reshape(texts.shape)
        for i, name in enumerate(self.texts):
            records[name] = lengths[:, i]
        ends = np.append(0, np.cumsum(np.where(lengths == NO_TEXT, 0, lengths).sum(axis=1)))
        return b"".join([text for text in texts.ravel().tolist() if text is not None]), ends[first]


def _tile_of(items: Items, tiles: Tiles) -> np.ndarray:
    """Row of each item's tile; both are sorted by (entity, start)."""
    new = distinct.changes(items.entity) | distinct.changes(items.start)
    if np.count_nonzero(new) == len(tiles):
        return np.cumsum(new) - 1
    both_entity = np.concatenate([tiles.entity, items.entity])
    both_start = np.concatenate([tiles.start, items.start])
    order = np.lexsort((np.arange(len(both_start)), both_start, both_entity))
    place = np.cumsum(order < len(tiles)) - 1
    tile = np.empty(len(order), I64)
    tile[order] = place
    return tile[len(tiles) :]
