"""The ring: an entity's tiles as bytes, in three fields of its Redis hash.

    _ring:<view>        header: version, epoch, identity, batch, schema, newest event, offsets
    _ring:<view>:head   young tiles, rewritten by every merge
    _ring:<view>:tail   folded tiles, rewritten when enough tiles of the head have aged

A blob of tiles names its own layout, so old layouts stay readable: a slot it lacks is empty, one that
is gone is dropped. All numbers are little-endian.

    tiles:  schema u32 | version u8, number of tiles u24 | size u32 of each hash set | records | hashes | texts
    record: start i64, then the fields of each slot; a text is its length u32 (2^32 - 1 for none)
    hash:   u64, number of its tile u32; by set, ascending
    texts:  in the order of the records, without separators
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streaming import parts
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
ITEM = np.dtype([("hash", "<u8"), ("tile", "<u4")])
GONE = 2**16 - 1

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
        self._layouts = {number: _Layout(view, number, k, slots) for number, (k, slots) in known.items()}

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
        starts = _cut(fixed.tobytes(), np.arange(rows + 1) * HEADER.itemsize)
        tables = _cut(table.tobytes(), np.append(0, np.cumsum(counts)) * OFFSET.itemsize)
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


class _Layout:
    """One layout of a view's tiles, that of now or an older one."""

    def __init__(self, view: View, schema: int, k: int, slots: tuple[Slot, ...]) -> None:
        self.view = view
        self.schema = schema
        self.fields = parts.fields(slots)
        self.texts = [f.name for f in self.fields if f.dtype == TEXT]
        self.sets = [slot for slot in slots if slot.part == "distinct"]
        stored: list[tuple[str, Any]] = [("start", "<i8")]
        stored += [(f.name, "<u4" if f.dtype == TEXT else f.dtype.newbyteorder("<")) for f in self.fields]
        self.record = np.dtype(stored)
        self.prefix = np.dtype([("schema", "<u4"), ("tiles", "<u4"), ("sets", "<u4", (len(self.sets),))])
        # A set that kept fewer hashes than the view now asks for cannot be continued.
        kept = [s for s in slots if s in view.slots and (s.part != "distinct" or k >= view.distinct_k)]
        self.kept = {f.name for f in parts.fields(kept)}
        self.numbers = np.array([view.slots.index(s) if s in kept else GONE for s in self.sets], np.uint16)

    def decode(self, blobs: list[bytes], entities: np.ndarray) -> Tiles:
        """Tiles of `entities`, to which the blobs belong. Raises ValueError when lengths do not add up."""
        size = self.prefix.itemsize
        lengths = np.array(list(map(len, blobs)), I64)
        if (lengths < size).any():
            raise ValueError("a blob of tiles is cut short")
        prefix = np.frombuffer(b"".join([blob[:size] for blob in blobs]), self.prefix)
        counts, sets = (prefix["tiles"] & 0xFFFFFF).astype(I64), prefix["sets"].astype(I64)
        hashes_at = size + counts * self.record.itemsize
        texts_at = hashes_at + sets.sum(axis=1) * ITEM.itemsize
        if (texts_at > lengths).any():
            raise ValueError("a blob of tiles is cut short")
        records = np.frombuffer(_sections(blobs, size, hashes_at), self.record)
        entity = np.repeat(entities, counts)
        start = records["start"].astype(I64)
        columns, items = {}, Items.none()
        if self.sets:
            stored = np.frombuffer(_sections(blobs, hashes_at, texts_at), ITEM)
            items = self._items(stored, start, counts, sets, entities)
        if self.texts:
            columns.update(
                self._texts(records, counts, _sections(blobs, texts_at, lengths), lengths - texts_at)
            )
        elif (texts_at != lengths).any():
            raise ValueError("a blob of tiles has a wrong length")
        for field in parts.fields(self.view.slots):
            if field.name not in self.kept:
                columns[field.name] = np.full(len(records), field.empty, field.dtype)
            elif field.name not in columns:
                columns[field.name] = records[field.name].astype(field.dtype)
        return Tiles(entity, start, columns, items)

    def _items(
        self,
        stored: np.ndarray,
        start: np.ndarray,
        counts: np.ndarray,
        sets: np.ndarray,
        entities: np.ndarray,
    ) -> Items:
        blob = np.repeat(np.arange(len(counts)), sets.sum(axis=1))
        tile = stored["tile"].astype(I64)
        if (tile >= counts[blob]).any():
            raise ValueError("a hash belongs to no tile")
        tile += (np.cumsum(counts) - counts)[blob]
        slot = np.repeat(np.tile(self.numbers, len(counts)), sets.ravel())
        items = Items(entities[blob], start[tile], slot, stored["hash"].astype(np.uint64))
        return items.take(slot != GONE) if (self.numbers == GONE).any() else items

    def _texts(
        self, records: np.ndarray, counts: np.ndarray, heap: bytes, held: np.ndarray
    ) -> dict[str, np.ndarray]:
        lengths = np.stack([records[name] for name in self.texts], axis=1).astype(I64)
        none = lengths == NO_TEXT
        sizes = np.where(none, 0, lengths)
        blob = np.repeat(np.arange(len(counts)), counts)
        if (np.bincount(blob, sizes.sum(axis=1), len(counts)) != held).any():
            raise ValueError("a blob of tiles has a wrong length")
        ends = np.cumsum(sizes)
        texts = np.empty(lengths.size, TEXT)
        pairs = zip((ends - sizes.ravel()).tolist(), ends.tolist(), none.ravel().tolist(), strict=True)
        texts[:] = [None if missing else heap[a:b] for a, b, missing in pairs]
        return dict(zip(self.texts, texts.reshape(lengths.shape).T, strict=True))

    def encode(self, tiles: Tiles, entities: int) -> list[bytes]:
        records = np.empty(len(tiles), self.record)
        records["start"] = tiles.start
        for field in self.fields:
            if field.dtype != TEXT:
                records[field.name] = tiles.columns[field.name]
        first = np.searchsorted(tiles.entity, np.arange(entities + 1))
        counts = np.diff(first)
        prefix = np.zeros(entities, self.prefix)
        prefix["schema"], prefix["tiles"] = self.schema, counts | VERSION << 24
        sections = []
        if self.sets:
            sections.append(self._encoded_items(prefix, tiles, first))
        if self.texts:
            sections.append(self._encoded_texts(records, tiles, first))
        blobs = _cut(prefix.tobytes(), np.arange(entities + 1) * self.prefix.itemsize)
        for data, bounds in [(records.tobytes(), first * self.record.itemsize), *sections]:
            blobs = list(map(bytes.__add__, blobs, _cut(data, bounds)))
        for entity in np.flatnonzero(counts == 0).tolist():
            blobs[entity] = b""
        return blobs

    def _encoded_items(self, prefix: np.ndarray, tiles: Tiles, first: np.ndarray) -> tuple[bytes, np.ndarray]:
        """Hashes by entity, slot and hash, and where each entity's begin; fills in the sizes of the sets."""
        items = tiles.items
        place = np.zeros(len(self.view.slots), I64)
        place[self.numbers] = np.arange(len(self.sets))
        sizes = np.bincount(items.entity * len(self.sets) + place[items.slot], minlength=prefix["sets"].size)
        prefix["sets"] = sizes.reshape(prefix["sets"].shape)
        stored = np.empty(len(items), ITEM)
        stored["hash"], stored["tile"] = items.hash, _tile_of(items, tiles, first)
        bounds = np.append(0, np.cumsum(prefix["sets"].sum(axis=1, dtype=I64))) * ITEM.itemsize
        return stored.tobytes(), bounds

    def _encoded_texts(
        self, records: np.ndarray, tiles: Tiles, first: np.ndarray
    ) -> tuple[bytes, np.ndarray]:
        """Texts in the order of the records, and where each entity's begin; fills in the lengths."""
        texts = np.stack([tiles.columns[name] for name in self.texts], axis=1)
        flat = texts.ravel().tolist()
        lengths = np.array([NO_TEXT if text is None else len(text) for text in flat], I64).reshape(
            texts.shape
        )
        for i, name in enumerate(self.texts):
            records[name] = lengths[:, i]
        ends = np.append(0, np.cumsum(np.where(lengths == NO_TEXT, 0, lengths).sum(axis=1)))
        return b"".join([text for text in flat if text is not None]), ends[first]


def _sections(blobs: list[bytes], begin: np.ndarray | int, end: np.ndarray) -> bytes:
    """The bytes from `begin` to `end` of each blob, joined."""
    begins = itertools.repeat(begin) if isinstance(begin, int) else begin.tolist()
    return b"".join([blob[a:b] for blob, a, b in zip(blobs, begins, end.tolist(), strict=False)])


def _cut(data: bytes, bounds: np.ndarray) -> list[bytes]:
    """The pieces of `data` between neighbouring bounds."""
    edges = bounds.tolist()
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def _tile_of(items: Items, tiles: Tiles, first: np.ndarray) -> np.ndarray:
    """Number of each item's tile within its entity; tiles are sorted by (entity, start)."""
    oldest = tiles.start[np.minimum(first[:-1], max(len(tiles) - 1, 0))] if len(tiles) else first[:-1]
    age = tiles.start - oldest[tiles.entity]
    span = int(age.max()) + 1 if len(age) else 1
    row = np.searchsorted(tiles.entity * span + age, items.entity * span + items.start - oldest[items.entity])
    return row - first[items.entity]
