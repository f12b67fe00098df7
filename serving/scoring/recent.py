"""The events that the lane read and the rings in Redis may lack: those past the online lane's progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streaming.distinct import Items
from streaming.events import Chunk
from streaming.parts import I64
from streaming.plan import View
from streaming.tiles import Tiles, concat


@dataclass
class _Piece:
    tiles: Tiles
    keys: list[bytes]
    part: np.ndarray
    offset: np.ndarray
    time: np.ndarray


@dataclass
class Recent:
    """One view's recent events, each apart, in the order of their partitions; at most about `limit` of them.

    `since` is, by partition, the first offset from which on every event is here.
    """

    view: View
    limit: int
    since: dict[int, int] = field(default_factory=dict)
    _pieces: deque[_Piece] = field(default_factory=deque)
    _places: dict[bytes, deque[tuple[_Piece, int]]] = field(default_factory=dict)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def add(self, chunk: Chunk) -> None:
        """Take in events; `chunk` has them apart."""
        if not chunk.keys:
            return
        self._hold(_Piece(chunk.tiles, chunk.keys, chunk.part, chunk.offset, chunk.newest))
        while self._count > self.limit and len(self._pieces) > 1:
            gone = self._pieces[0]
            for partition in np.unique(gone.part).tolist():
                newest = int(gone.offset[gone.part == partition].max())
                self.since[partition] = max(self.since.get(partition, 0), newest + 1)
            self._forget()

    def _hold(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self._count += len(piece.keys)
        for row, key in enumerate(piece.keys):
            self._places.setdefault(key, deque()).append((piece, row))

    def reached(self, ends: Mapping[int, int]) -> None:
        """Let go of events below these offsets: they are in the rings."""
        while self._pieces:
            first = self._pieces[0]
            limit = np.array([ends.get(p, 0) for p in range(int(first.part.max()) + 1)], I64)
            if (first.offset >= limit[first.part]).any():
                return
            self._forget()

    def _forget(self) -> None:
        gone = self._pieces.popleft()
        self._count -= len(gone.keys)
        for key in gone.keys:
            places = self._places[key]
            places.popleft()
            if not places:
                del self._places[key]

    def drop(self, partition: int) -> None:
        """Let go of a partition, which is another process's now."""
        pieces, self._pieces = self._pieces, deque()
        self._places.clear()
        self._count = 0
        self.since.pop(partition, None)
        for piece in pieces:
            rows = np.flatnonzero(piece.part != partition).tolist()
            if rows:
                keys = [piece.keys[row] for row in rows]
                tiles = _taken(piece.tiles, rows, list(range(len(rows))))
                self._hold(_Piece(tiles, keys, piece.part[rows], piece.offset[rows], piece.time[rows]))

    def beyond(
        self, keys: Sequence[bytes], offsets: Sequence[Mapping[int, int]]
    ) -> tuple[Tiles | None, list[tuple[int, int, int, int]]]:
        """The events of `keys` that are past `offsets` (by entity and partition).

        Returns their tiles, unmerged, with the number of the key as entity, and (entity, partition,
        offset, time in ms) of each.
        """
        wanted: dict[int, tuple[_Piece, list[int], list[int]]] = {}
        places = []
        for entity, key in enumerate(keys):
            for piece, row in self._places.get(key, ()):
                partition, offset = int(piece.part[row]), int(piece.offset[row])
                if offset > offsets[entity].get(partition, -1):
                    _, entities, rows = wanted.setdefault(id(piece), (piece, [], []))
                    entities.append(entity)
                    rows.append(row)
                    places.append((entity, partition, offset, int(piece.time[row])))
        if not places:
            return None, places
        taken = [_taken(piece.tiles, rows, entities) for piece, entities, rows in wanted.values()]
        return concat(self.view.slots, taken), places


def _taken(tiles: Tiles, rows: list[int], entities: list[int]) -> Tiles:
    """Some rows of events that are apart, given to other entities."""
    owner = np.full(len(tiles), -1, I64)
    owner[rows] = entities
    chosen = tiles.take(np.array(rows, I64), owner[tiles.items.entity] >= 0)
    items = chosen.items
    moved = Items(owner[items.entity], items.start, items.slot, items.hash)
    return Tiles(np.array(entities, I64), chosen.start, chosen.columns, moved)
