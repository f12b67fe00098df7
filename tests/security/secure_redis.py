"""A real Redis that wants TLS and a user; where its build speaks no TLS, a relay in front of it does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from certificates import Authority, Pair
from redis_server import binary, free_port, server


@dataclass(frozen=True)
class SecureRedis:
    """`connection` has Feast's form, without a user; `plain` is the administrator's own way in."""

    connection: str
    plain: redis.Redis
    native: bool


def speaks_tls() -> bool:
    return b"tls-auth-clients" in Path(binary()).read_bytes()


@contextlib.contextmanager
def secure_redis(folder: Path, authority: Authority, users: list[str]) -> Iterator[SecureRedis]:
    """`users` are lines of an ACL file, in force once the server answers; the administrator's is added."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = authority.sign("redis")
    lines: list[str] = []
    port, native = free_port(), speaks_tls()
    if native:
        lines += [f"tls-port {port}", f"tls-cert-file {pair.certificate}", f"tls-key-file {pair.key}"]
        lines += [f"tls-ca-cert-file {authority.ca}", "tls-auth-clients no"]
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(server(folder / "data", "requirepass start", *lines))
        admin = running.client()
        admin.acl_setuser(
            "admin", enabled=True, passwords=["+admin"], keys=["*"], channels=["*"], commands=["+@all"]
        )
        for line in users:
            admin.execute_command("ACL", "SETUSER", *line.split()[1:])
        plain = running.client(username="admin", password="admin")
        if not native:
            port = stack.enter_context(relay(running.port, pair))
        yield SecureRedis(f"localhost:{port},ssl=true,ssl_ca_certs={authority.ca}", plain, native)


@contextlib.contextmanager
def relay(port: int, pair: Pair) -> Iterator[int]:
    """A TLS port in front of `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

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
                for one, other in ((secure, plain), (plain, secure)):
                    threading.Thread(target=copy, args=(one, other), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
