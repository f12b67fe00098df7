"""At which moments a table has rows of a key: monthly, now, and within the view's TTL before a decision.

A view with a TTL of an hour says: what is older must not be used. So a row is written shortly before each
decision that history holds, as a bureau is asked when somebody applies; a join at that moment then finds it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.underwriting.history.world import World
from generators.draws import Ints


@dataclass(frozen=True)
class Moments:
    """Pairs of a key's number and a time (ms), each once, sorted."""

    key: Ints
    at: Ints

    @property
    def size(self) -> int:
        return len(self.key)


def moments(world: World, since: Ints, ttl: int, *decisions: Moments, keys: Ints | None = None) -> Moments:
    """The moments of a table. `since[key]` is when the key came to be (ms), `ttl` the view's (ms).

    `keys` are all that have rows (default: every number below len(since)).
    """
    keys = np.arange(len(since)) if keys is None else keys
    grid = world.grid
    key = [np.repeat(keys, len(grid)), *(d.key for d in decisions)]
    at = [np.tile(grid, len(keys)), *(d.at - ttl // 2 for d in decisions)]
    pairs = np.stack([np.concatenate(key), np.concatenate(at)])
    pairs = np.unique(pairs[:, pairs[1] >= since[pairs[0]]], axis=1)
    return Moments(pairs[0], pairs[1])
