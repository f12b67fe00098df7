"""The last messages of every entity, within a bound of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

Place = tuple[str, str]
"""What a message is filed under: a kind (such as `event`, or `update` and a view) with a join key, and an id."""

OVERHEAD = 400
"""Bytes that a message takes here besides its own."""


class Record(msgspec.Struct, eq=False, gc=False):
    """A message of `topic`; `time` is its Kafka timestamp (ms).

    It is in no cycle of references, and a hundred thousand of them are not for the collection of garbage to look at.
    """

    topic: str
    partition: int
    offset: int
    time: int
    value: bytes
    places: Sequence[Place] = ()
    left: int = 0
    """Places that still hold it."""


class Recent:
    """At most `each` messages in a place and `memory` bytes in all; the oldest goes first. For one thread."""

    def __init__(self, each: int = 200, memory: int = 128 << 20) -> None:
        self.each, self.memory = each, memory
        self.used = 0
        self._order: deque[Record] = deque()
        self._held: dict[Place, deque[Record]] = {}

    def add(self, records: Sequence[Record]) -> None:
        """File messages under their places, in the order in which they come."""
        for record in records:
            record.left = len(record.places)
            if not record.left:
                continue
            self.used += len(record.value) + OVERHEAD
            self._order.append(record)
            for place in record.places:
                held = self._held.get(place)
                if held is None:
                    held = self._held[place] = deque()
                held.append(record)
                if len(held) > self.each:
                    self._release(held.popleft())
        while self._order and (self.used > self.memory or not self._order[0].left):
            self._drop(self._order.popleft())

    def last(self, place: Place, count: int) -> list[Record]:
        """The newest messages of a place, the newest last."""
        return list(self._held.get(place, ()))[-count:]

    def _release(self, record: Record) -> None:
        record.left -= 1
        if not record.left:
            self.used -= len(record.value) + OVERHEAD

    def _drop(self, record: Record) -> None:
        for place in record.places:
            held = self._held.get(place)
            # It came before all that are left, so it is the first, unless it went already.
            if held and held[0] is record:
                held.popleft()
                self._release(record)
                if not held:
                    del self._held[place]
