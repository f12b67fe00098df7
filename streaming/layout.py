"""How the tiles of one entity are laid out as bytes; all numbers are little-endian.

blob:   schema u32 | version u8, number of tiles u24 | size u32 of each hash set | records | hashes | texts
record: start i64, then the fields of each slot; a text is its length u32 (2^32 - 1 for none)
hash:   u64, number of its tile u32; by set, ascending
texts:  in the order of the records, without separators
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from streaming import parts, table
from streaming.distinct import Items
from streaming.parts import I64, TEXT
from streaming.plan import Slot, View
from streaming.table import Table
from streaming.tiles import Tiles

VERSION = 1
NO_TEXT = 2**32 - 1
PREFIX = np.dtype([("schema", "<u4"), ("tiles", "<u4")])
ITEM = np.dtype([("hash", "<u8"), ("tile", "<u4")])
GONE = 2**16 - 1
"""Number of a set that the view no longer has."""


class Layout:
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
        self.now = table.schema(view.slots)
        words = {field.name: word for word, field in enumerate(self.fields, 1)}
        self.words: list[int] | None = None
        """Which word of a record each number of a tile is, where records have what tiles have, and no texts."""
        if not self.texts and self.kept == words.keys() == self.now.place.keys():
            self.words = [words[field.name] for field in self.now.numbers]
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
        items = Items.none()
        if self.sets:
            stored = np.frombuffer(_sections(blobs, hashes_at, texts_at), ITEM)
            items = self._items(stored, start, counts, sets, entities)
        texts: dict[str, np.ndarray] = {}
        if self.texts:
            held = _sections(blobs, texts_at, lengths)
            texts = self._texts(records, counts, held, lengths - texts_at)
        elif (texts_at != lengths).any():
            raise ValueError("a blob of tiles has a wrong length")
        return Tiles(entity, start, self._columns(records, texts), items)

    def _columns(self, records: np.ndarray, texts: dict[str, np.ndarray]) -> Table:
        if self.words is not None:
            words = _words(records).T
            return Table(
                self.now, np.ascontiguousarray(words[self.words], I64), np.empty((0, len(records)), TEXT)
            )
        columns = {f.name: records[f.name] for f in self.fields if f.dtype != TEXT} | texts
        return Table.of(self.now, {name: columns[name] for name in self.kept}, len(records))

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
        if self.words is not None:
            _words(records)[:, self.words] = tiles.columns.words.T
        else:
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
        blobs = cut(prefix.tobytes(), np.arange(entities + 1) * self.prefix.itemsize)
        for data, bounds in [(records.tobytes(), first * self.record.itemsize), *sections]:
            blobs = list(map(bytes.__add__, blobs, cut(data, bounds)))
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


def _words(records: np.ndarray) -> np.ndarray:
    """Records without texts as words, a row each."""
    return records.view("<i8").reshape(len(records), records.dtype.itemsize // 8)


def cut(data: bytes, bounds: np.ndarray) -> list[bytes]:
    """The pieces of `data` between neighbouring bounds."""
    edges = bounds.tolist()
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def _tile_of(items: Items, tiles: Tiles, first: np.ndarray) -> np.ndarray:
    """Number of each item's tile within its entity; tiles are sorted by (entity, start)."""
    oldest = tiles.start[np.minimum(first[:-1], max(len(tiles) - 1, 0))] if len(tiles) else first[:-1]
    age = tiles.start - oldest[tiles.entity]
    span = int(age.max()) + 1 if len(age) else 1
    row = np.searchsorted(tiles.entity * span + age, items.entity * span + items.start - oldest[items.entity])
    lost = row == len(tiles)
    if lost.any() or (tiles.start[row] != items.start).any() or (tiles.entity[row] != items.entity).any():
        raise ValueError("a hash has no tile: items belong to tiles of the same Tiles")
    return row - first[items.entity]
