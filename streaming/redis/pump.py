"""Keeps several connections busy from one thread: sends ahead, reads back, with a bound on what is in flight."""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streaming import failpoints
from streaming.redis.connection import Connection
from streaming.redis.resp import Argument, Commands, repeated

CHUNK = 1 << 19
FIRST = 32
MOST_COMMANDS = 1024
WINDOW = 4 << 20


@dataclass
class Stream:
    """What one connection has to do of a bulk: `commands` numbered in `which`; replies in that order."""

    connection: Connection
    commands: Commands
    which: Sequence[int]
    replies: list[Any] = field(default_factory=list)
    _sent: int = 0
    _received_bytes: int = 0
    _rest: memoryview = field(default_factory=lambda: memoryview(b""))
    _size: int = FIRST
    _unanswered: deque[tuple[int, int]] = field(default_factory=deque)
    _pending_bytes: int = 0

    @property
    def done(self) -> bool:
        return len(self.replies) == len(self.which)

    @property
    def interest(self) -> int:
        """What to wait for: replies, and room in the socket when the last send met none."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._rest else 0)

    def _next(self, window: int) -> None:
        """Cut the next chunk: small at first, then by the bytes of requests and replies so far."""
        which = self.which[self._sent : self._sent + self._size]
        data = self.commands.render(which)
        self._rest = memoryview(data)
        self._sent += len(which)
        self._pending_bytes += len(data)
        self._unanswered.append((self._sent, len(data)))
        by_request = CHUNK * len(which) // len(data)
        by_reply = window // 4 * len(self.replies) // max(1, self._received_bytes) if self.replies else FIRST
        self._size = max(1, min(MOST_COMMANDS, by_request, by_reply))

    def _full(self, window: int) -> bool:
        """Whether to wait for replies: what is in flight, with replies of the mean size, fills the window."""
        if not self._unanswered:
            return False
        if not self.replies:
            return True
        waiting = self._sent - len(self.replies)
        return self._pending_bytes + waiting * self._received_bytes / len(self.replies) > window

    def push(self, window: int) -> None:
        """Send as much as the socket and `window` (bytes) allow."""
        while True:
            if not self._rest:
                if self._sent == len(self.which) or self._full(window):
                    return
                if failpoints.ARMED and self._sent:
                    failpoints.reach(self.commands.failpoint)
                self._next(window)
            sent = self.connection.send(self._rest)
            self._rest = self._rest[sent:]
            if self._rest:
                return

    def pull(self) -> None:
        """Take the replies that have arrived."""
        self._received_bytes += self.connection.receive(self.replies)
        while self._unanswered and self._unanswered[0][0] <= len(self.replies):
            self._pending_bytes -= self._unanswered.popleft()[1]


def pump(streams: Sequence[Stream], window: int = WINDOW) -> None:
    """Run every stream to its end, with at most about `window` bytes in flight on each.

    Raises RedisAway when a connection breaks, or when none gives a sign of life for its timeout.
    """
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            stream.push(window)
            if not stream.done:
                selector.register(stream.connection.socket, stream.interest, stream)
        while waiting := selector.get_map():
            first: Stream = next(iter(waiting.values())).data
            ready = selector.select(first.connection.timeout)
            if not ready:
                raise first.connection.away(f"no answer for {first.connection.timeout:.0f} s")
            for key, events in ready:
                stream = key.data
                if events & selectors.EVENT_READ:
                    stream.pull()
                stream.push(window)
                if stream.done:
                    selector.unregister(key.fileobj)
                elif key.events != stream.interest:
                    selector.modify(key.fileobj, stream.interest, stream)


def ask(connection: Connection, *commands: Sequence[Argument]) -> list[Any]:
    """Replies of a few commands in one round trip; an error is returned as hiredis.ReplyError."""
    bulk = repeated(commands)
    stream = Stream(connection, bulk, range(bulk.count))
    pump([stream])
    return stream.replies
