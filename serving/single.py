"""One entity's ring, evaluated in few numpy calls: a read of one row is mostly their overhead.

Computes what `streaming.ring` and `streaming.evaluation` compute for many entities, for rings of the
current layout without texts. The caller takes the general way for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

import numpy as np

from streaming import parts
from streaming.aggregates import aggregate
from streaming.distinct import changes
from streaming.plan import Slot, View
from streaming.ring import HEADER, ITEM, OFFSET, VERSION

_INT_MAX, _INT_MIN = parts.INT_MAX, parts.INT_MIN


class Ring(NamedTuple):
    """A decoded ring: `records` int64[tiles, words]; of every hash its `set`, value and tile's `start`."""

    records: np.ndarray
    set: np.ndarray
    hash: np.ndarray
    start: np.ndarray


class SingleRing:
    """Evaluates rings of `view`, one at a time. Build once, keep."""

    def __init__(self, view: View) -> None:
        self.view = view
        fields = parts.fields(view.slots)
        self.able = all(field.dtype != parts.TEXT for field in fields)
        """Whether its rings are without texts."""
        self._words = 1 + len(fields)
        self._sets = [slot.name for slot in view.slots if slot.part == "distinct"]
        self._prefix = Struct(f"<II{len(self._sets)}I")
        place = {field.name: 1 + i for i, field in enumerate(fields)}
        self._merges = [merge(names, place) for merge, names in _merges(view.slots)] if self.able else []
        pairs = list(dict.fromkeys((aggregate(f.function), f.column) for f in view.features))
        held = [name for name in (*place, *self._sets) if not name.endswith(".lo")]
        inputs = {column: [n for n in held if n.rpartition(":")[0] == column] for _, column in pairs}
        self._finals = [(f, [(n.rpartition(":")[2], n) for n in inputs[column]]) for f, column in pairs]
        self.places = {
            f.name: pairs.index((aggregate(f.function), f.column)) * len(view.windows)
            + view.windows.index(f.window)
            for f in view.features
        }
        """Where in the result of `evaluate` each feature is."""

    def decode(self, head: bytes | None, tail: bytes | None) -> Ring | None:
        """Both levels of a ring; None when they are not of this layout, or damaged."""
        records: list[bytes] = []
        hashes: list[tuple[list[int], np.ndarray, np.ndarray]] = []
        tiles = 0
        for blob in (tail, head):
            if not blob:
                continue
            if len(blob) < self._prefix.size:
                return None
            schema, counted, *sizes = self._prefix.unpack_from(blob)
            count, many = counted & 0xFFFFFF, sum(sizes)
            end = self._prefix.size + count * self._words * 8
            if (
                schema != self.view.schema_id
                or counted >> 24 != VERSION
                or len(blob) != end + many * ITEM.itemsize
            ):
                return None
            records.append(blob[self._prefix.size : end])
            if many:
                items = np.frombuffer(blob, ITEM, many, end)
                if items["tile"].max() >= count:
                    return None
                hashes.append((sizes, items["tile"].astype(np.int64) + tiles, items["hash"]))
            tiles += count
        table = np.frombuffer(b"".join(records), "<i8").reshape(-1, self._words)
        if not hashes:
            return Ring(table, _NONE, _NONE, _NONE)
        numbers = np.array([*range(len(self._sets))] * len(hashes))
        sets = numbers.repeat([size for sizes, _, _ in hashes for size in sizes])
        tile = np.concatenate([tile for _, tile, _ in hashes])
        return Ring(table, sets, np.concatenate([h for _, _, h in hashes]), table[:, 0][tile])

    def evaluate(self, ring: Ring, at: int) -> list[float | int | None] | None:
        """Values at `at` (ms) by `places`, None for null; no result when a sum has overflowed."""
        begin = np.array([window.start(at) for window in self.view.windows])
        inside = ring.records[:, 0] >= begin[:, None]
        merged: dict[str, np.ndarray] = {}
        result: list[float | int | None] = []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for merge in self._merges:
                if not merge(ring.records, inside, merged):
                    return None
            if self._sets:
                merged.update(zip(self._sets, self._distinct(ring, begin), strict=True))
            for function, names in self._finals:
                values, valid = function.final({part: merged[name] for part, name in names})
                known = valid.tolist()
                if all(known):
                    result += values.tolist()
                else:
                    result += [v if ok else None for v, ok in zip(values.tolist(), known, strict=True)]
        return result

    def _distinct(self, ring: Ring, begin: np.ndarray) -> np.ndarray:
        """Number of different values of each set in each window, as `streaming.distinct` counts them."""
        counts = np.zeros((len(self._sets), len(begin)), np.int64)
        if not len(ring.hash):
            return counts
        if len(self._sets) == 1:
            order = ring.hash.argsort(kind="stable")
            hashes = ring.hash[order]
            heads = changes(hashes).nonzero()[0]
            bounds = np.array([0, len(heads)])
        else:
            order = np.lexsort((ring.hash, ring.set))
            sets, hashes = ring.set[order], ring.hash[order]
            heads = (changes(sets) | changes(hashes)).nonzero()[0]
            bounds = sets[heads].searchsorted(np.arange(len(self._sets) + 1))
        youngest = np.maximum.reduceat(ring.start[order], heads)
        seen = np.zeros((len(begin), len(heads) + 1), np.int64)
        np.cumsum(youngest >= begin[:, None], axis=1, out=seen[:, 1:])
        counts[:] = (seen[:, bounds[1:]] - seen[:, bounds[:-1]]).T
        k = self.view.distinct_k
        if counts.max() > k:
            hashes = hashes[heads]
            for number, window in np.argwhere(counts > k).tolist():
                last = seen[window, 1:].searchsorted(seen[window, bounds[number]] + k + 1)
                counts[number, window] = round(k / ((float(hashes[last]) + 1) / 2.0**64))
        return counts


_NONE = np.empty(0, np.int64)
_COUNT, _NEWEST = (HEADER.fields[name][1] for name in ("offsets", "newest"))  # type: ignore[index]


def newest_event(header: bytes) -> int | None:
    """Newest event time (ms) of a header; None when it is damaged or not of this version."""
    offsets = int.from_bytes(header[_COUNT : _COUNT + 2], "little")
    if len(header) != HEADER.itemsize + offsets * OFFSET.itemsize or header[0] != VERSION:
        return None
    return int.from_bytes(header[_NEWEST : _NEWEST + 8], "little", signed=True)


class _Merge:
    """Merges the fields of some slots over the tiles inside each window."""

    def __init__(self, slots: list[Slot], place: Mapping[str, int]) -> None:
        self.slots = slots
        self.names = [slot.name for slot in slots]
        columns = [place[name] for name in self.names]
        run = columns == list(range(columns[0], columns[0] + len(columns)))
        self.columns = slice(columns[0], columns[-1] + 1) if run else np.array(columns)
        self.place = place

    def __call__(self, records: np.ndarray, inside: np.ndarray, merged: dict[str, np.ndarray]) -> bool:
        """Adds the merged columns, one value a window; False when this way is not exact."""
        raise NotImplementedError

    def add(self, merged: dict[str, np.ndarray], values: np.ndarray) -> None:
        """`values`: [windows, slots]."""
        merged.update(zip(self.names, values.T, strict=True))


class _Counts(_Merge):
    def __call__(self, records: np.ndarray, inside: np.ndarray, merged: dict[str, np.ndarray]) -> bool:
        self.add(merged, inside.astype(np.int64) @ records[:, self.columns])
        return True


class _Sums(_Merge):
    def __call__(self, records: np.ndarray, inside: np.ndarray, merged: dict[str, np.ndarray]) -> bool:
        sums = inside.astype(np.float64) @ records.view("<f8")[:, self.columns]
        self.add(merged, sums)
        return math.isfinite(sums.sum())  # 0 * inf would reach windows without it


class _Squares(_Merge):
    def __call__(self, records: np.ndarray, inside: np.ndarray, merged: dict[str, np.ndarray]) -> bool:
        floats = records.view("<f8")
        for slot in self.slots:
            n_name, sum_name = f"{slot.column}:n", f"{slot.column}:sum"
            n = records[:, self.place[n_name]]
            mean = floats[:, self.place[sum_name]] / np.maximum(n, 1)
            deviation = mean - (merged[sum_name] / np.maximum(merged[n_name], 1))[:, None]
            squares = floats[:, self.place[slot.name]] + n * deviation * deviation
            merged[slot.name] = np.where(inside, squares, 0.0).sum(axis=1)
        return True


class _Floats(_Merge):
    """Smallest or largest of float columns; NaN is none."""

    def __call__(self, records: np.ndarray, inside: np.ndarray, merged: dict[str, np.ndarray]) -> bool:
        pick = np.fmin if self.slots[0].part == "min" else np.fmax
        values = np.where(inside[:, :, None], records.view("<f8")[:, self.columns], np.nan)
        self.add(merged, pick.reduce(values, axis=1, initial=np.nan))
        return True


class _Integers(_Merge):
    """Smallest or largest of integer columns."""

    def __call__(self, records: np.ndarray, inside: np.ndarray, merged: dict[str, np.ndarray]) -> bool:
        pick, none = (np.minimum, _INT_MAX) if self.slots[0].part == "min" else (np.maximum, _INT_MIN)
        values = np.where(inside[:, :, None], records[:, self.columns], none)
        self.add(merged, pick.reduce(values, axis=1, initial=none))
        return True


class _Edges(_Merge):
    """Value and place of the first or last event."""

    def __call__(self, records: np.ndarray, inside: np.ndarray, merged: dict[str, np.ndarray]) -> bool:
        for slot in self.slots:
            value, high, low = parts.PARTS[slot.part].fields(slot)
            highs, lows = records[:, self.place[high.name]], records.view("<u8")[:, self.place[low.name]]
            order = np.lexsort((lows, highs))
            if slot.part == "last":
                order = order[::-1]
            ranked = inside[:, order]
            chosen = order[ranked.argmax(axis=1)] if len(order) else np.zeros(len(inside), int)
            some = ranked.any(axis=1)
            for field in (value, high):
                column = records.view(field.dtype)[:, self.place[field.name]]
                picked = column[chosen] if len(order) else np.zeros(len(inside), field.dtype)
                merged[field.name] = np.where(some, picked, field.empty)
        return True


def _merges(slots: tuple[Slot, ...]) -> list[tuple[type[_Merge], list[Slot]]]:
    """Slots of one algebra together, squares after the sums they need."""
    kinds: dict[tuple[type[_Merge], str], list[Slot]] = {}
    for slot in slots:
        if slot.part == "distinct":
            continue
        merge = _MERGES.get(slot.part) or (_Floats if slot.kind == "f64" else _Integers)
        kinds.setdefault((merge, slot.part if merge in (_Floats, _Integers) else ""), []).append(slot)
    groups = [(merge, members) for (merge, _), members in kinds.items()]
    return sorted(groups, key=lambda group: group[0] is _Squares)


_MERGES: dict[str, type[_Merge]] = {
    "rows": _Counts,
    "n": _Counts,
    "sum": _Sums,
    "m2": _Squares,
    "first": _Edges,
    "last": _Edges,
}
