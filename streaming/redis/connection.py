"""One connection to one Redis server.

redis-py opens the socket (TLS, authentication, database, as Feast's own store does); commands are
then sent and their replies parsed without it.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streaming.errors import ServiceError

READ = 1 << 16
_WAIT = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class RedisAway(ServiceError):
    """The connection to a Redis was lost or could not be had; what was in flight may or may not be done."""


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Connection:
    """A connected socket with its reply parser. Not shared between threads."""

    def __init__(self, address: Address, options: Mapping[str, Any], timeout: float = 30.0) -> None:
        """Connect. Raises RedisAway when nobody answers, ServiceError when the server refuses us."""
        self.address = address
        self.timeout = timeout
        self.errors = 0
        self._reader = hiredis.Reader(replyError=self._error)
        options = {"socket_connect_timeout": 5, "socket_timeout": timeout, "protocol": 2, **options}
        client = redis.Redis(host=address.host, port=address.port, retry=Retry(NoBackoff(), 0), **options)
        self._owner = client.connection_pool.make_connection()
        try:
            self._owner.connect()
        except redis.exceptions.AuthenticationError as error:
            raise ServiceError(
                f"Redis at {address} refuses the login ({_line(error)}): "
                "correct username and password in the connection string"
            ) from error
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
            raise self.away(error) from error
        except redis.exceptions.RedisError as error:
            raise ServiceError(f"Redis at {address} refuses the connection ({_line(error)})") from error
        self.socket = self._owner._sock  # type: ignore[attr-defined]
        self.socket.setblocking(False)

    def _error(self, message: str) -> hiredis.ReplyError:
        self.errors += 1
        return hiredis.ReplyError(message)

    def away(self, reason: object) -> RedisAway:
        """The error of a lost connection."""
        return RedisAway(
            f"Redis at {self.address} is away ({_line(reason)}): "
            "start it, or correct connection_string of the online store"
        )

    def receive(self, replies: list[Any]) -> int:
        """Append the replies that have arrived; the number of bytes read. Raises RedisAway."""
        read = 0
        while True:
            try:
                data = self.socket.recv(READ)
            except _WAIT:
                return read
            except OSError as error:
                raise self.away(error) from error
            if not data:
                raise self.away("it closed the connection")
            read += len(data)
            self._reader.feed(data)
            gets = self._reader.gets
            try:
                while (reply := gets()) is not False:
                    replies.append(reply)
            except hiredis.ProtocolError as error:
                raise self.away(error) from error
            if len(data) < READ and not isinstance(self.socket, ssl.SSLSocket):
                return read

    def send(self, data: memoryview) -> int:
        """Send what the socket takes; the number of bytes. Raises RedisAway."""
        try:
            return self.socket.send(data)
        except _WAIT:
            return 0
        except OSError as error:
            raise self.away(error) from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._owner.disconnect()


def _line(reason: object) -> str:
    return " ".join(str(reason).split()).rstrip(".") or type(reason).__name__
