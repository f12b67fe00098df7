"""A block: rows of whole entities, sorted, and the moments that are asked for.

A row is an event, or a tile that stands for the events of an entity before the block; both are tiles to the
engine (`streaming.tiles`). Times are microseconds, as Spark keeps them; the start of a tile is in ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.distinct import Items
from streaming.parts import I64
from streaming.table import Table
from streaming.tiles import Tiles


@dataclass(frozen=True)
class Asked:
    """Moments: `entity` (its number in the block), `time` (us), and `high`, the row before which to stop.

    All rows from the window's beginning to before `high` count, so `high` says what the moment sees. Sorted by
    entity and time.
    """

    entity: np.ndarray
    time: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: np.ndarray) -> Asked:
        return Asked(self.entity[rows], self.time[rows], self.high[rows])


@dataclass(frozen=True)
class Block:
    """Rows sorted by (entity, time, place); `item_row` is the row of each of the tiles' hashes, sorted too.

    `entities` is how many entities there are; some may have no row.
    """

    tiles: Tiles
    item_row: np.ndarray
    entities: int

    def __len__(self) -> int:
        return len(self.tiles)

    def behind(self, carried: Tiles) -> Block:
        """This block with `carried` tiles (merged, their entities numbered as here) before their entity's rows."""
        if not len(carried):
            return self
        reach = int(carried.start.max() - carried.start.min()) + 1
        places = carried.entity * reach + carried.start - carried.start.min()
        theirs = np.searchsorted(
            places, carried.items.entity * reach + carried.items.start - carried.start.min()
        )
        entity = np.concatenate([carried.entity, self.tiles.entity])
        order = np.argsort(entity, kind="stable")
        now_at = np.empty(len(order), I64)
        now_at[order] = np.arange(len(order))
        columns = Table.joined([carried.columns, self.tiles.columns]).take(order)
        start = np.concatenate([carried.start, self.tiles.start])[order]
        rows = now_at[np.concatenate([theirs, self.item_row + len(carried)])]
        both = (carried.items, self.tiles.items)
        items = Items(
            *(
                np.concatenate([getattr(part, name) for part in both])
                for name in ("entity", "start", "slot", "hash")
            )
        )
        by_row = np.argsort(rows, kind="stable")
        return Block(Tiles(entity[order], start, columns, items.take(by_row)), rows[by_row], self.entities)
