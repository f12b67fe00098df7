"""What a view's rings cost at worst: an entity with events in every tile of every window."""

from __future__ import annotations

from math import ceil, gcd, log

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streaming import aggregates
from streaming.errors import DefinitionError
from streaming.parts import TEXT
from streaming.plan import View
from streaming.tiles import FOLD_SLACK

START_BYTES, HASH_BYTES, TEXT_BYTES = 8, 12, 4 + 60
"""A tile's start; a hash and the number of its tile; the length of a text and, assumed, 60 bytes of it."""

MANY = 10_000_000
"""Different values of a column in a ring, at most, of which its hashes are a sample."""


class CostSettings(BaseSettings):
    """Bounds of a plan, from TIDEMARK_<NAME>: `max_ring_bytes` is the most one entity may take in one view."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    max_ring_bytes: int = Field(default=1 << 20, gt=0)


def worst_case_tiles(view: View) -> int:
    """Most tiles a ring holds: those of each age at the width of that age, and what waits to be folded."""
    tiles, younger = FOLD_SLACK, 0
    windows = view.windows
    for i, window in enumerate(windows):
        if window.length > younger:
            width = gcd(*(w.slide for w in windows[i:]))
            tiles += -(-(window.length - younger) // width) + 1
            younger = window.length
    return tiles


def tile_bytes(view: View) -> int:
    """Bytes of a tile: its start and the fields of its slots."""
    fields = [field for slot in view.slots for field in aggregates.part(slot.part).fields(slot)]
    return START_BYTES + sum(TEXT_BYTES if field.dtype == TEXT else field.dtype.itemsize for field in fields)


def hash_bytes(view: View) -> int:
    """Bytes of the hashes that a ring keeps of all columns whose different values are counted.

    Of n values a ring needs (k + 1) (1 + ln(n / k)) and, pruned in steps, keeps a third more.
    """
    sets = sum(slot.part == "distinct" for slot in view.slots)
    kept = (view.distinct_k + 1) * (1 + log(max(MANY / view.distinct_k, 1))) * 4 / 3
    return sets * ceil(kept) * HASH_BYTES


def worst_case_bytes(view: View) -> int:
    """Most bytes one entity's ring takes in Redis."""
    return worst_case_tiles(view) * tile_bytes(view) + hash_bytes(view)


def check(view: View, settings: CostSettings) -> None:
    """Raise DefinitionError when a ring of `view` could grow beyond the cap."""
    worst = worst_case_bytes(view)
    if worst > settings.max_ring_bytes:
        raise DefinitionError(
            f"view {view.name}: a ring could take {worst:,} bytes ({worst_case_tiles(view):,} tiles of "
            f"{tile_bytes(view):,} and {hash_bytes(view):,} of hashes), above the cap of {settings.max_ring_bytes:,}: use longer slides, a smaller "
            "distinct_k tag or two views, or raise TIDEMARK_MAX_RING_BYTES"
        )
