"""One entity's ring, evaluated in few numpy calls: a read of one row is mostly their overhead.

Computes what `streaming.ring` and `streaming.evaluation` compute for many entities, for the rings
they hand over: of the current layout, and with numbers only. The caller takes the general way for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from streaming import parts
from streaming.aggregates import aggregate
from streaming.plan import Slot, View
from streaming.ring import HEADER, OFFSET, PREFIX, VERSION

_INT_MAX, _INT_MIN = parts.INT_MAX, parts.INT_MIN


class SingleRing:
    """Evaluates rings of `view`, one at a time. Build once, keep."""

    def __init__(self, view: View) -> None:
        self.view = view
        fields = parts.fields(view.slots)
        texts = any(field.dtype == parts.TEXT for field in fields)
        self.able = not texts and all(slot.part != "distinct" for slot in view.slots)
        """Whether its rings hold numbers only."""
        self._words = 1 + len(fields)
        place = {field.name: 1 + i for i, field in enumerate(fields)}
        self._merges = [merge(names, place) for merge, names in _merges(view.slots)] if self.able else []
        pairs = list(dict.fromkeys((aggregate(f.function), f.column) for f in view.features))
        inputs = {
            column: [n for n in place if n.rpartition(":")[0] == column and not n.endswith(".lo")]
            for _, column in pairs
        }
        self._finals = [(f, [(n.rpartition(":")[2], n) for n in inputs[column]]) for f, column in pairs]
        self.places = {
            f.name: pairs.index((aggregate(f.function), f.column)) * len(view.windows)
            + view.windows.index(f.window)
            for f in view.features
        }
        """Where in the result of `evaluate` each feature is."""

    def tiles(self, head: bytes | None, tail: bytes | None) -> np.ndarray | None:
        """The records of both levels, int64[tiles, words]; None when they are not this layout's."""
        blobs = [self._records(blob) for blob in (head, tail) if blob]
        if None in blobs:
            return None
        return np.frombuffer(b"".join(blobs), "<i8").reshape(-1, self._words)  # type: ignore[arg-type]

    def _records(self, blob: bytes) -> bytes | None:
        schema = int.from_bytes(blob[:4], "little")
        count = int.from_bytes(blob[4:7], "little")
        whole = len(blob) == PREFIX.itemsize + count * self._words * 8 and blob[7] == VERSION
        return blob[PREFIX.itemsize :] if whole and schema == self.view.schema_id else None

    def evaluate(self, records: np.ndarray, at: int) -> list[float | int | None] | None:
        """Values at `at` (ms) by `places`, None for null; no result when a sum has overflowed."""
        begin = np.array([window.start(at) for window in self.view.windows])
        inside = records[:, 0] >= begin[:, None]
        merged: dict[str, np.ndarray] = {}
        result: list[float | int | None] = []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for merge in self._merges:
                if not merge(records, inside, merged):
                    return None
            for function, names in self._finals:
                values, valid = function.final({part: merged[name] for part, name in names})
                known = valid.tolist()
                if all(known):
                    result += values.tolist()
                else:
                    result += [v if ok else None for v, ok in zip(values.tolist(), known, strict=True)]
        return result


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
