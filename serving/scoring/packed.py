"""Tiles as rows of 8-byte words: rings are held, joined, cut and appended to without a look at their columns.

row of a tile: start, then the fields of the view's slots; row of a hash: start of its tile, slot, hash
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streaming import table
from streaming.distinct import Items
from streaming.layout import cut
from streaming.parts import I64, TEXT, U64
from streaming.plan import View
from streaming.table import Table
from streaming.tiles import Tiles

ITEM = 3
WORD = 8
TEXT_SIZE = 64
"""About what a text takes (bytes)."""


class Packed(NamedTuple):
    """Tiles of one entity, in any order; `texts` has those of each tile."""

    tiles: bytes
    items: bytes
    texts: tuple[tuple[bytes | None, ...], ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.tiles) + len(self.items) + TEXT_SIZE * sum(map(len, self.texts))

    def joined(self, other: Packed) -> Packed:
        """Both, unmerged."""
        return Packed(self.tiles + other.tiles, self.items + other.items, self.texts + other.texts)


class Packing:
    """Packs and unpacks tiles of `view`."""

    def __init__(self, view: View) -> None:
        self._schema = table.schema(view.slots)
        self.width = WORD * (1 + len(self._schema.numbers))
        """Bytes of a tile without its texts."""

    def pack(self, tiles: Tiles, entities: int) -> list[Packed]:
        """The tiles of each entity."""
        if (tiles.entity[1:] < tiles.entity[:-1]).any():
            order = np.argsort(tiles.entity, kind="stable")
            tiles = tiles.take(order, np.arange(len(tiles.items)))
        words = np.empty((len(tiles), self.width // WORD), I64)
        words[:, 0], words[:, 1:] = tiles.start, tiles.columns.words.T
        numbers = np.arange(entities + 1)
        bounds = np.searchsorted(tiles.entity, numbers)
        data = cut(words.tobytes(), bounds * self.width)
        hashes = [b""] * entities if not len(tiles.items) else self._hashes(tiles.items, numbers)
        if not self._schema.texts:
            return list(map(Packed, data, hashes))
        rows = tuple(map(tuple, tiles.columns.texts.T.tolist()))
        texts = [rows[a:b] for a, b in itertools.pairwise(bounds.tolist())]
        return list(map(Packed, data, hashes, texts))

    def _hashes(self, items: Items, numbers: np.ndarray) -> list[bytes]:
        order = np.argsort(items.entity, kind="stable")
        words = np.empty((ITEM, len(items)), I64)
        words[0], words[1], words[2] = items.start, items.slot, items.hash.view(I64)
        bounds = np.searchsorted(items.entity[order], numbers)
        return cut(words.T[order].tobytes(), bounds * (ITEM * WORD))

    def unpack(self, packed: Sequence[Packed]) -> Tiles:
        """The tiles of all, with the place in `packed` as entity (ascending)."""
        words, entity = _words([one.tiles for one in packed], self.width // WORD)
        texts = np.empty((words.shape[1], len(self._schema.texts)), TEXT)
        if texts.size:
            texts[:] = [row for one in packed for row in one.texts]
        columns = Table(self._schema, words[1:], texts.T)
        held, owner = _words([one.items for one in packed], ITEM)
        return Tiles(entity, words[0], columns, Items(owner, held[0], held[1], held[2].view(U64)))


def _words(pieces: Sequence[bytes], width: int) -> tuple[np.ndarray, np.ndarray]:
    """The words of each column, and the number of the piece that each row is of."""
    rows = np.array([len(piece) for piece in pieces], I64) // (WORD * width)
    words = np.frombuffer(b"".join(pieces), I64).reshape(-1, width)
    return np.ascontiguousarray(words.T), np.repeat(np.arange(len(pieces)), rows)
