"""The latest alerts, and everybody who waits for the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

WAITING = 200
"""Alerts that a slow reader may be behind; the oldest of more are left out."""


class Alert(msgspec.Struct, frozen=True):
    """An alert as it was sent, its place in Kafka (topic/partition/offset), and the type of its entity, if known."""

    id: str
    type: str | None
    alert: msgspec.Raw


class Feed:
    """Keeps the last `most` alerts, for one event loop."""

    def __init__(self, most: int = 500) -> None:
        self._held: deque[Alert] = deque(maxlen=most)
        self._waiting: set[asyncio.Queue[Alert]] = set()

    def add(self, alert: Alert) -> None:
        self._held.append(alert)
        for queue in self._waiting:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(alert)

    def last(self, count: int) -> list[Alert]:
        """The newest, the newest first."""
        return list(self._held)[: -count - 1 : -1]

    def after(self, last_id: str) -> list[Alert]:
        """What came after an alert that somebody has seen; nothing if it is not held any more."""
        held = list(self._held)
        places = [i for i, alert in enumerate(held) if alert.id == last_id]
        return held[places[-1] + 1 :] if places else []

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[asyncio.Queue[Alert]]:
        """A queue of the alerts to come."""
        queue: asyncio.Queue[Alert] = asyncio.Queue(WAITING)
        self._waiting.add(queue)
        try:
            yield queue
        finally:
            self._waiting.discard(queue)
