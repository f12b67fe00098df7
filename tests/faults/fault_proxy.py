"""A TCP proxy in front of a Redis: it passes everything on until it is told to be slow, silent or broken."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() send a reset instead of an orderly end."""


class Proxy:
    """Listens on `port` of the loopback interface and connects each caller to `target`.

    `delay` (s) holds every chunk of bytes back, `silent` all of them, until it is cleared;
    `cut_after` lets so many bytes of replies pass, half of the next chunk, and then resets that connection.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.cut_after: int | None = None
        self.cuts = 0
        self._speaks = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.silent = False

    @property
    def silent(self) -> bool:
        return not self._speaks.is_set()

    @silent.setter
    def silent(self, value: bool) -> None:
        self._loop.call_soon_threadsafe(self._speaks.clear if value else self._speaks.set)

    def reset(self) -> int:
        """Reset every connection there is; how many."""

        async def work() -> int:
            held = list(self._open)
            for writer in held:
                _abort(writer)
            return len(held)

        return self._do(work())

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self.reset()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _abort(writer)
            return
        self._open |= {writer, ours}
        try:
            await asyncio.gather(self._pass(reader, ours, None), self._pass(theirs, writer, self._cut))
        except OSError:
            pass  # an end of it is gone, and so must the other be
        finally:
            self._open -= {writer, ours}
            _abort(writer)
            _abort(ours)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        cut: Callable[[asyncio.StreamWriter, bytes], bool] | None,
    ) -> None:
        while data := await reader.read(1 << 16):
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._speaks.wait()
            if cut and cut(writer, data):
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    def _cut(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        if self.cut_after is None:
            return False
        self.cut_after -= len(data)
        if self.cut_after >= 0:
            return False
        writer.write(data[: len(data) // 2])
        self.cut_after = None
        self.cuts += 1
        return True


def _abort(writer: asyncio.StreamWriter) -> None:
    held = writer.get_extra_info("socket")
    if held is not None and held.fileno() >= 0:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()
