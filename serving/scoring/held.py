"""Rings of the entities that were met, as bytes, the least recently used of them let go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from streaming.parts import I64, INT_MIN
from streaming.plan import View
from streaming.ring import Headers, Offsets, RingCodec, Schemas
from streaming.tiles import Tiles, merge

OVERHEAD = 400
"""Bytes of a held ring beside its tiles."""


class Held(NamedTuple):
    """One entity's ring: its `newest` event (ms), highest offset by partition, and merged tiles.

    `newest` is INT_MIN for an entity without events. `at` is when (ms) it came from Redis; `whole` says that
    it then had every event of its entity that the lane had read.
    """

    newest: int
    offsets: Mapping[int, int]
    tiles: bytes
    at: int
    whole: bool


@dataclass(frozen=True)
class Rings:
    """The rings of some entities, decoded: `tiles` are sorted by (entity, start)."""

    newest: np.ndarray
    offsets: Sequence[Mapping[int, int]]
    tiles: Tiles

    def reached(self, entity: np.ndarray, part: np.ndarray) -> np.ndarray:
        """For each event the highest offset of its partition in its entity's ring, -1 for none."""
        pairs = zip(entity.tolist(), part.tolist(), strict=True)
        return np.array([self.offsets[e].get(p, -1) for e, p in pairs], I64)


class Memory:
    """At most about `capacity` bytes of one view's rings; `schemas` are its older layouts."""

    def __init__(self, view: View, schemas: Schemas, capacity: int) -> None:
        self.view = view
        self.codec = RingCodec(view, schemas)
        self.capacity = capacity
        self.size = 0
        self._held: OrderedDict[bytes, Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes) -> Held | None:
        """The ring of an entity, None when it is not held."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: bytes, held: Held) -> None:
        """Hold a ring, in place of an older one."""
        before = self._held.pop(key, None)
        self._held[key] = held
        self.size += len(held.tiles) - (len(before.tiles) if before else -OVERHEAD)

    def trim(self) -> None:
        """Let go of the least recently used rings above the capacity."""
        while self.size > self.capacity and self._held:
            _, gone = self._held.popitem(last=False)
            self.size -= len(gone.tiles) + OVERHEAD

    def drop(self, partition: int) -> None:
        """Let go of every entity that has events of a partition."""
        for key in [key for key, held in self._held.items() if partition in held.offsets]:
            self.size -= len(self._held.pop(key).tiles) + OVERHEAD

    def decode(self, held: Sequence[Held]) -> Rings:
        """Entities are numbered in the order of `held`."""
        tiles = self.codec.decode_tiles(_present(len(held)), [one.tiles for one in held])
        newest = np.array([one.newest for one in held], I64)
        return Rings(newest, [one.offsets for one in held], tiles)

    def encode(self, rings: Rings, at: Sequence[int], whole: Sequence[bool]) -> list[Held]:
        """As they are held."""
        blobs = self.codec.encode_tiles(rings.tiles, len(rings.newest))
        columns = zip(rings.newest.tolist(), rings.offsets, blobs, at, whole, strict=True)
        return [Held(*columns_) for columns_ in columns]

    def received(self, replies: Sequence[Sequence[bytes | None]]) -> Rings:
        """Rings as Redis returned their header, head and tail. Raises TidemarkError for what cannot be read."""
        headers = self.codec.decode_headers([reply[0] for reply in replies])
        blobs = [blob for _, head, tail in replies for blob in (tail, head)]
        twice = replace(headers, present=np.repeat(headers.present, 2))
        levels = self.codec.decode_tiles(twice, blobs)
        items = replace(levels.items, entity=levels.items.entity >> 1)
        tiles = replace(levels, entity=levels.entity >> 1, items=items)
        newest = np.where(headers.present, headers.newest, INT_MIN)
        # An entity without a header has no tiles; any moment will do to align none.
        merged = merge(self.view, [tiles], np.where(headers.present, headers.newest, 0))
        return Rings(newest, _by_entity(headers.offsets, len(replies)), merged)


def _present(count: int) -> Headers:
    zeros = np.zeros(count, I64)
    return Headers(np.ones(count, bool), zeros, zeros.view(np.uint64), zeros, zeros, zeros, Offsets.none())


def _by_entity(offsets: Offsets, count: int) -> list[dict[int, int]]:
    found: list[dict[int, int]] = [{} for _ in range(count)]
    columns = (offsets.entity.tolist(), offsets.partition.tolist(), offsets.offset.tolist())
    for entity, partition, offset in zip(*columns, strict=True):
        found[entity][partition] = offset
    return found
