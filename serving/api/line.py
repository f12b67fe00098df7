"""Redis from the event loop: small reads of many requests over one connection, and none of them in a thread.

A read in a thread changes threads twice, and each time, and at each of its system calls, whoever else computes in this
process takes the interpreter's lock first. With four clients on two busy cores that was half of p99.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis

from streaming.errors import ServiceError
from streaming.redis.connection import Connection, RedisAway
from streaming.redis.resp import Argument, command
from streaming.redis.target import RedisTarget

PAUSE = 1.0
"""Seconds before a Redis that was away is tried again."""


class Line:
    """A connection to one Redis for the coroutines of one event loop. It connects by itself, also after a loss.

    A cluster has none: its nodes redirect, which is left to `Bulk`.
    """

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._connection: Connection | None = None
        self._starting: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._unsent = bytearray()
        self._waiting: deque[tuple[int, asyncio.Future[list[Any] | None]]] = deque()
        self._replies: list[Any] = []

    async def replies(self, commands: Sequence[Sequence[Argument]]) -> list[Any] | None:
        """The replies in order. None when there is no connection yet, when it is lost, or Redis refuses a command."""
        loop, connection = asyncio.get_running_loop(), self._connection
        if connection is None:
            self._start(loop)
            return None
        future: asyncio.Future[list[Any] | None] = loop.create_future()
        self._waiting.append((len(commands), future))
        silent = loop.call_later(self._target.timeout, self._lose, connection)
        try:
            self._send(connection, b"".join(command(*line) for line in commands))
            found = await future
        finally:
            silent.cancel()
        if found is None or any(isinstance(reply, hiredis.ReplyError) for reply in found):
            return None
        return found

    def close(self) -> None:
        """End the connection; who waits gets None."""
        if self._starting:
            self._starting.cancel()
        if self._connection:
            self._lose(self._connection)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if not (self._target.cluster or self._starting or loop.time() < self._not_before):
            self._not_before = loop.time() + PAUSE
            self._starting = loop.create_task(self._connect(loop))

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        asked = self._target.addresses[0], self._target.options, self._target.timeout
        try:
            connection = await loop.run_in_executor(None, Connection, *asked)
        except ServiceError:
            return  # Reads go to a thread meanwhile, which says what is wrong.
        finally:
            self._starting = None
        self._connection = connection
        loop.add_reader(connection.socket, self._pull, connection)

    def _send(self, connection: Connection, data: bytes = b"") -> None:
        """Send what the socket takes; the rest goes when there is room."""
        loop, before = asyncio.get_running_loop(), bool(self._unsent)
        self._unsent += data
        try:
            sent = connection.send(memoryview(bytes(self._unsent)))
        except RedisAway:
            self._lose(connection)
            return
        del self._unsent[:sent]
        if self._unsent and not before:
            loop.add_writer(connection.socket, self._send, connection)
        elif before and not self._unsent:
            loop.remove_writer(connection.socket)

    def _pull(self, connection: Connection) -> None:
        try:
            connection.receive(self._replies)
        except RedisAway:
            self._lose(connection)
            return
        while self._waiting and self._waiting[0][0] <= len(self._replies):
            count, future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._replies[:count])
            del self._replies[:count]

    def _lose(self, connection: Connection) -> None:
        if connection is not self._connection:
            return
        loop, self._connection = asyncio.get_running_loop(), None
        loop.remove_reader(connection.socket)
        loop.remove_writer(connection.socket)
        connection.close()
        waiting, self._waiting = self._waiting, deque()
        self._replies.clear()
        self._unsent.clear()
        for _, future in waiting:
            if not future.done():
                future.set_result(None)
