"""The latest alerts, and everybody who waits for the next."""

from __future__ import annotations

import asyncio
import threading
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
    """Keeps the last `most` alerts. `add` is called by the follower's thread, the rest by an event loop."""

    def __init__(self, most: int = 500) -> None:
        self._held: deque[Alert] = deque(maxlen=most)
        self._waiting: dict[asyncio.Queue[Alert], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    def add(self, alert: Alert) -> None:
        with self._lock:
            self._held.append(alert)
            for queue, loop in self._waiting.items():
                loop.call_soon_threadsafe(_put, queue, alert)

    def last(self, count: int) -> list[Alert]:
        """The newest, the newest first."""
        with self._lock:
            return list(self._held)[: -count - 1 : -1]

    def after(self, last_id: str) -> list[Alert]:
        """What came after an alert that somebody has seen; nothing if it is not held any more."""
        with self._lock:
            held = list(self._held)
        places = [i for i, alert in enumerate(held) if alert.id == last_id]
        return held[places[-1] + 1 :] if places else []

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[asyncio.Queue[Alert]]:
        """A queue of the alerts to come."""
        queue: asyncio.Queue[Alert] = asyncio.Queue(WAITING)
        with self._lock:
            self._waiting[queue] = asyncio.get_running_loop()
        try:
            yield queue
        finally:
            with self._lock:
                self._waiting.pop(queue, None)


def _put(queue: asyncio.Queue[Alert], alert: Alert) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(alert)
