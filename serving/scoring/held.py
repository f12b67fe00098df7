"""Rings of the entities that were met, the least recently used of them let go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from serving.scoring.packed import Packed, Packing
from streaming.parts import I64, INT_MIN
from streaming.plan import View
from streaming.ring import Offsets, RingCodec, Schemas
from streaming.tiles import Tiles, merge

OVERHEAD = 400
"""Bytes of a held ring beside its tiles."""

SLACK = 32
"""How many tiles may be appended to a ring, beside as many as it had, before they are merged."""


@dataclass(slots=True)
class Held:
    """One entity's ring: its `newest` event (ms), highest offset by partition, and tiles. It grows in place.

    `newest` is INT_MIN for an entity without events. `merged` is the size of the tiles when they were merged last.
    `at` is when (ms) it came from Redis; `whole` says that it then had every event of its entity that the lane had
    read.
    """

    newest: int
    offsets: dict[int, int]
    tiles: Packed
    merged: int
    at: int
    whole: bool


@dataclass(frozen=True)
class Rings:
    """The rings of some entities, unpacked: `tiles` are sorted by entity, and not merged."""

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
        self.packing = Packing(view)
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
        self.size += held.tiles.size - (before.tiles.size if before else -OVERHEAD)

    def append(self, key: bytes, time: int, partition: int, offset: int, tiles: Packed) -> None:
        """Give a ring one event more; it is the most recently used."""
        one = self._held[key]
        one.newest = max(one.newest, time)
        one.offsets[partition] = max(one.offsets.get(partition, -1), offset)
        one.tiles = one.tiles.joined(tiles)
        self.size += tiles.size

    def trim(self) -> None:
        """Let go of the least recently used rings above the capacity."""
        while self.size > self.capacity and self._held:
            _, gone = self._held.popitem(last=False)
            self.size -= gone.tiles.size + OVERHEAD

    def drop(self, partition: int) -> None:
        """Let go of every entity that has events of a partition."""
        for key in [key for key, held in self._held.items() if partition in held.offsets]:
            self.size -= self._held.pop(key).tiles.size + OVERHEAD

    def rings(self, held: Sequence[Held]) -> Rings:
        """Entities are numbered in the order of `held`."""
        newest = np.array([one.newest for one in held], I64)
        return Rings(newest, [one.offsets for one in held], self.packing.unpack([one.tiles for one in held]))

    def settle(self, keys: Sequence[bytes]) -> None:
        """Merge those of these rings that have grown."""
        held = [self._held[key] for key in dict.fromkeys(keys)]
        slack = SLACK * self.packing.width
        grown = [one for one in held if len(one.tiles.tiles) > 2 * one.merged + slack]
        if not grown:
            return
        rings = self.rings(grown)
        packed = self.packing.pack(merge(self.view, [rings.tiles], rings.newest), len(grown))
        for one, tiles in zip(grown, packed, strict=True):
            self.size += tiles.size - one.tiles.size
            one.tiles, one.merged = tiles, len(tiles.tiles)

    def load(self, keys: Sequence[bytes], rings: Rings, at: int, *, whole: bool) -> None:
        """Hold the rings of `keys`, as they came from Redis `at` a moment (ms)."""
        packed = self.packing.pack(rings.tiles, len(keys))
        columns = zip(keys, rings.newest.tolist(), rings.offsets, packed, strict=True)
        for key, newest, offsets, tiles in columns:
            self.put(key, Held(newest, dict(offsets), tiles, len(tiles.tiles), at, whole))

    def received(self, replies: Sequence[Sequence[bytes | None]]) -> Rings:
        """Rings as Redis returned their header, head and tail. Raises TidemarkError for what cannot be read."""
        headers = self.codec.decode_headers([reply[0] for reply in replies])
        blobs = [blob for _, head, tail in replies for blob in (tail, head)]
        twice = replace(headers, present=np.repeat(headers.present, 2))
        levels = self.codec.decode_tiles(twice, blobs)
        items = replace(levels.items, entity=levels.items.entity >> 1)
        tiles = replace(levels, entity=levels.entity >> 1, items=items)
        newest = np.where(headers.present, headers.newest, INT_MIN)
        return Rings(newest, _by_entity(headers.offsets, len(replies)), tiles)


def _by_entity(offsets: Offsets, count: int) -> list[dict[int, int]]:
    found: list[dict[int, int]] = [{} for _ in range(count)]
    columns = (offsets.entity.tolist(), offsets.partition.tolist(), offsets.offset.tolist())
    for entity, partition, offset in zip(*columns, strict=True):
        found[entity][partition] = offset
    return found
