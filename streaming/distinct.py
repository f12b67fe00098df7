"""Counting different values in every window from few hashes (k minimum values, KMV).

Of a set of uniform 64-bit hashes the smallest k + 1 decide both cases. At most k of them: they are the
set, and the count is exact. More: if the (k + 1)-th smallest is at h of the range 0..1, about k / h
values lie behind the set. Its relative standard error is 1 / sqrt(k - 1): 8.9 % at the default k of 128,
3.1 % at 1,024 (Bar-Yossef et al., "Counting distinct elements in a data stream", 2002; Beyer et al., "On
synopses for distinct-value estimation under multiset operations", 2007).

Windows end at the same moment and differ in where they begin, so a window that has an old tile has
every younger one too. A hash is therefore needed only at its youngest tile, and not at all once k + 1
smaller ones are as young as it is. What is left grows with the logarithm of the number of values,
and every count is what all values would have given, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

I64, U64, U16 = np.dtype("i8"), np.dtype("u8"), np.dtype("u2")


@dataclass(frozen=True)
class Items:
    """Hashes of tiles, one row each: the tile's `entity` and `start`, the index of the view's `slot`.

    Once merged they are sorted by (entity, slot, hash), and each hash is there once.
    """

    entity: np.ndarray
    start: np.ndarray
    slot: np.ndarray
    hash: np.ndarray

    def __len__(self) -> int:
        return len(self.hash)

    def take(self, rows: np.ndarray) -> Items:
        return Items(self.entity[rows], self.start[rows], self.slot[rows], self.hash[rows])

    @staticmethod
    def none() -> Items:
        return Items(np.empty(0, I64), np.empty(0, I64), np.empty(0, U16), np.empty(0, U64))


def concat(parts: Sequence[Items]) -> Items:
    """All items of the parts, unmerged."""
    held = [part for part in parts if len(part)]
    if len(held) < 2:
        return held[0] if held else Items.none()
    names = ("entity", "start", "slot", "hash")
    return Items(*(np.concatenate([getattr(part, name) for part in held]) for name in names))


def merge(items: Items, k: int) -> Items:
    """The union: each hash at its youngest tile, without those that no count can need."""
    if not len(items):
        return items
    unique, begins = _union(items)
    sizes = np.diff(begins, append=len(unique))
    if sizes.max() <= k + 1:
        return unique
    large = np.flatnonzero(np.repeat(sizes > k + 1, sizes))
    needed = np.ones(len(unique), bool)
    needed[large] = _needed(unique.start[large], np.repeat(np.arange(len(sizes)), sizes)[large], k)
    return unique.take(needed)


def count(items: Items, slots: Sequence[int], since: np.ndarray, k: int) -> np.ndarray:
    """Number of different values of each of `slots`, for each window and entity: int64[slots, windows, entities].

    `since` (int64[entities, windows]) is where each window begins; its tiles start there or later.
    """
    entities, windows = since.shape
    result = np.zeros((len(slots), windows, entities), I64)
    mine = items.start >= since.min(axis=1)[items.entity]
    held = items if mine.all() else items.take(mine)
    if not len(held):
        return result
    unique, begins = _union(held)
    inside = unique.start[:, None] >= since[unique.entity]
    upto = np.zeros((len(unique) + 1, windows), I64)
    np.cumsum(inside, axis=0, out=upto[1:])
    ends = np.append(begins[1:], len(unique))
    sizes = upto[ends] - upto[begins]
    many = sizes > k
    for window in np.flatnonzero(many.any(axis=0)).tolist():
        large = many[:, window]
        place = np.searchsorted(upto[:, window], upto[begins[large], window] + k + 1)
        share = (unique.hash[place - 1].astype(np.float64) + 1) / 2.0**64
        sizes[large, window] = np.rint(k / share).astype(I64)
    entity, slot = unique.entity[begins], unique.slot[begins]
    for number, wanted in enumerate(slots):
        of = slot == wanted
        result[number][:, entity[of]] = sizes[of].T
    return result


def _union(items: Items) -> tuple[Items, np.ndarray]:
    """Different hashes by (entity, slot, hash), each at its youngest tile; where each set begins."""
    group = items.entity * (int(items.slot.max()) + 1) + items.slot
    order = _order(group, items.hash)
    group, hashes = group[order], items.hash[order]
    fresh = changes(group) | changes(hashes)
    heads = np.flatnonzero(fresh)
    rows = order[heads]
    start = np.maximum.reduceat(items.start[order], heads)
    unique = Items(items.entity[rows], start, items.slot[rows], items.hash[rows])
    return unique, np.flatnonzero(changes(group[heads]))


def _order(group: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Order by (group, hash). Merging sorted runs of one short number is far faster than two sorts."""
    bits = np.uint64(int(group.max() | 1).bit_length())
    key = group.astype(U64) << (np.uint64(64) - bits) | hashes >> bits
    order = np.argsort(key, kind="stable")
    key, ordered = key[order], hashes[order]
    cut_off = (key[1:] == key[:-1]) & (ordered[1:] < ordered[:-1])
    return np.lexsort((hashes, group)) if cut_off.any() else order


def _needed(start: np.ndarray, group: np.ndarray, k: int) -> np.ndarray:
    """Which hashes of large sets to keep; rows are sorted by (group, hash).

    A set's youngest m hashes have a (k + 1)-th smallest; whatever is older and greater is not needed.
    Of n values (k + 1) (1 + ln(n / k)) must stay; trying m in steps of a quarter leaves a third more.
    """
    needed = np.ones(len(start), bool)
    begins = np.flatnonzero(changes(group))
    sizes = np.diff(begins, append=len(start))
    by_age = np.lexsort((-start, group))
    age = np.empty(len(start), I64)
    age[by_age] = np.arange(len(start)) - np.repeat(begins, sizes)
    m = k + 1
    while m < sizes.max():
        young = age < m
        seen = np.cumsum(young)
        smaller: np.ndarray = seen - np.repeat(seen[begins] - young[begins], sizes)
        needed &= young | (smaller <= k)
        m += m // 4 + 1
    return needed


def changes(values: np.ndarray) -> np.ndarray:
    """True where a value differs from the one before it, and at the first."""
    changed = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed
