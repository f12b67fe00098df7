"""Hostile input on purpose: late events, duplicates and malformed messages, the same on every replay.

What happens to an event follows from (seed, stream, index), so the counts are exact and the messages
of a stream come in the same order however the run is cut. An event suffers one thing at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import msgspec
import numpy as np

from generators.columns import Events
from generators.contracts import STREAMS
from generators.draws import Draws, Ints, below
from generators.encode import encode

MALFORMED, DUPLICATE, LATE = 1, 2, 3
LATEST = 600_000
"""Late events are one second to this many milliseconds old, on a logarithmic scale."""

_FARTHEST = 2_000
"""A duplicate follows at most this many indices after its original."""


@dataclass(frozen=True)
class Hostility:
    """Shares of the events that are late, sent twice, and malformed."""

    late: float = 0.0
    duplicates: float = 0.0
    malformed: float = 0.0

    def __post_init__(self) -> None:
        parts = (self.late, self.duplicates, self.malformed)
        if min(parts) < 0 or sum(parts) > 1:
            raise ValueError(
                "the shares of late, duplicate and malformed events are each 0 or more, together at most 1"
            )


Message = tuple[bytes | None, bytes | None]
_json = msgspec.json.Encoder()


def _edit(change: Callable[[dict[str, Any], str], None]) -> Callable[[bytes, bytes, str], Message]:
    def spoil(key: bytes, value: bytes, stream: str) -> Message:
        fields = msgspec.json.decode(value)
        change(fields, stream)
        return key, _json.encode(fields)

    return spoil


def _wrong_type(fields: dict[str, Any], stream: str) -> None:
    fields["risk_score"] = "high"


def _missing_field(fields: dict[str, Any], stream: str) -> None:
    del fields["timestamp"]


def _null_id(fields: dict[str, Any], stream: str) -> None:
    fields[STREAMS[stream].event_id] = None


def _bad_time(fields: dict[str, Any], stream: str) -> None:
    fields["timestamp"] = "yesterday"


def _future(fields: dict[str, Any], stream: str) -> None:
    fields["timestamp"] = "2099" + fields["timestamp"][4:]


def _null_key(key: bytes, value: bytes, stream: str) -> Message:
    fields = msgspec.json.decode(value)
    fields[STREAMS[stream].key] = None
    return None, _json.encode(fields)


KINDS: dict[str, Callable[[bytes, bytes, str], Message]] = {
    "truncated": lambda key, value, stream: (key, value[: len(value) // 2]),
    "garbage": lambda key, value, stream: (key, b"\x00\xff<not json>" + value[:40]),
    "wrong_type": _edit(_wrong_type),
    "missing_field": _edit(_missing_field),
    "null_id": _edit(_null_id),
    "bad_time": _edit(_bad_time),
    "future": _edit(_future),
    "tombstone": lambda key, value, stream: (key, None),
    "null_key": _null_key,
}
"""Kinds of malformed message: cut off, no JSON at all, a word for a number, no timestamp, a null event
id, an unreadable timestamp, the year 2099, no value, and neither Kafka key nor entity."""


class Saboteur:
    """Spoils one stream; its events are to be given in order of their index."""

    def __init__(self, seed: int, stream: str, hostility: Hostility) -> None:
        self.stream = stream
        self.counts: Counter[str] = Counter()
        self._edges = np.cumsum([hostility.malformed, hostility.duplicates, hostility.late])
        self._draws = Draws(seed, f"hostile/{stream}")
        self._waiting: list[tuple[int, int, bytes, bytes]] = []

    def fates(self, index: Ints) -> Ints:
        """MALFORMED, DUPLICATE, LATE or 0 for each index."""
        if not self._edges[-1]:
            return np.zeros(len(index), np.int64)
        u = self._draws.uniform("fate", index)
        return np.select([u < edge for edge in self._edges], [MALFORMED, DUPLICATE, LATE], 0)

    def delay(self, index: Ints) -> Ints:
        """Milliseconds by which each event is late: nothing for most."""
        late = self.fates(index) == LATE
        if not late.any():
            return np.zeros(len(index), np.int64)
        age = 1000 * (LATEST / 1000) ** self._draws.uniform("age", index)
        return np.where(late, age, 0).astype(np.int64)

    def messages(self, events: Events, end: int) -> tuple[list[bytes | None], list[bytes | None]]:
        """(keys, values) to send for these events and the duplicates that fall due before index `end`."""
        good = encode(self.stream, events)
        keys: list[bytes | None] = [*good[0]]
        values: list[bytes | None] = [*good[1]]
        if not self._edges[-1]:
            return keys, values
        fates = self.fates(events.index)
        places: list[tuple[int, bytes, bytes]] = []
        for row in np.flatnonzero((fates == MALFORMED) | (fates == DUPLICATE)).tolist():
            key, value = keys[row], values[row]
            assert key is not None
            assert value is not None
            if fates[row] == MALFORMED:
                keys[row], values[row] = self._spoil(int(events.index[row]), key, value)
            else:
                self._repeat(int(events.index[row]), key, value)
        self.counts["late"] += int((fates == LATE).sum())
        while self._waiting and self._waiting[0][0] < end:
            due, _, key, value = heappop(self._waiting)
            places.append((int(np.searchsorted(events.index, due, side="right")), key, value))
        self.counts["duplicates"] += len(places)
        for place, key, value in reversed(places):
            keys.insert(place, key)
            values.insert(place, value)
        return keys, values

    def rest(self) -> tuple[list[bytes], list[bytes]]:
        """(keys, values) of the duplicates still due when the stream ends."""
        ordered = [heappop(self._waiting) for _ in range(len(self._waiting))]
        self.counts["duplicates"] += len(ordered)
        return [key for _, _, key, _ in ordered], [value for *_, value in ordered]

    def _repeat(self, index: int, key: bytes, value: bytes) -> None:
        gap = below(self._draws.words("gap", np.array([index])), _FARTHEST)
        heappush(self._waiting, (index + 1 + int(gap[0]), index, key, value))

    def _spoil(self, index: int, key: bytes, value: bytes) -> Message:
        chosen = below(self._draws.words("kind", np.array([index])), len(KINDS))
        kind = list(KINDS)[int(chosen[0])]
        self.counts[kind] += 1
        return KINDS[kind](key, value, self.stream)
