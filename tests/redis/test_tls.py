"""Bulk commands over TLS, to a real Redis behind a relay that terminates it (not every build speaks TLS)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import server

from streaming.redis.bulk import Bulk, RedisAway, RedisTarget
from streaming.redis.resp import Fields

PEM = Path(__file__).parent / "localhost.pem"


@contextlib.contextmanager
def relay(port: int) -> Iterator[int]:
    """A TLS port in front of `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                secure = context.wrap_socket(raw, server_side=True)
                plain = socket.create_connection(("127.0.0.1", port))
                for pair in ((secure, plain), (plain, secure)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_bulk_over_tls(tmp_path: Path) -> None:
    keys = [b"%d" % i for i in range(4000)]
    values = [b"%d," % i * 500 for i in range(4000)]
    with server(tmp_path) as redis, relay(redis.port) as port:
        secure = f"localhost:{port},ssl=true,ssl_ca_certs={PEM}"
        with Bulk(RedisTarget(secure, window=1 << 20)) as bulk:
            assert bulk.fenced_hset(keys, b"h", [None] * 4000, Fields({b"h": values})).all()
            assert bulk.hmget(keys, [b"h"]) == [[value] for value in values]
        assert redis.client().hget(keys[7], "h") == values[7]
        with pytest.raises(RedisAway, match=r"(?i)certificate"):
            Bulk(RedisTarget(f"localhost:{port},ssl=true"))
