"""Kafka and Redis on this machine without Docker, in one directory."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streaming.errors import ServiceError
from tidemark.services.kafka import KafkaBroker
from tidemark.services.process import Service
from tidemark.services.redis import RedisServer
from tidemark.settings import LocalSettings, local_settings


@dataclass(frozen=True)
class Endpoints:
    """Where the services answer, as host:port, and the directory that holds their data."""

    kafka: str
    redis: str
    dir: str


@dataclass(frozen=True)
class ServiceStatus:
    """`address` and `pid` are None when the service does not run; `answers` says whether it serves."""

    name: str
    address: str | None
    pid: int | None
    answers: bool
    log: Path


class LocalServices:
    """One broker and one Redis under `dir`, which survive the program that started them.

    A port of None is the one of the last time, or a free one. `say` hears one line about each thing
    found and mended. `kafka` and `redis` are the two services, for tests that kill one of them.
    """

    def __init__(
        self,
        dir: Path | str,
        kafka_port: int | None = None,
        redis_port: int | None = None,
        *,
        settings: LocalSettings | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings or local_settings()
        self.dir = Path(dir).expanduser().resolve()
        self.say = say
        self.kafka = KafkaBroker(self.dir / "kafka", kafka_port, settings=self.settings, say=say)
        self.redis = RedisServer(self.dir / "redis", redis_port, settings=self.settings, say=say)

    def start(self) -> Endpoints:
        """Return once both answer; at once when they already do.

        Raises ServiceError naming the remedy; a service that this call started is stopped again then.
        """
        self._claim()
        with self._lock():
            before = {service.name: service.running() for service in self._services}
            try:
                redis = self.redis.start(self.settings.start_timeout)
                kafka = self.kafka.start(self.settings.start_timeout)
            except BaseException:
                for service in self._services:
                    if before[service.name] is None:
                        service.stop(self.settings.stop_timeout)
                raise
        return Endpoints(kafka.address, redis.address, str(self.dir))

    def stop(self) -> bool:
        """Stop both and wait until they are gone; True when anything ran. Data stays."""
        if not self.dir.is_dir():
            return False
        with self._lock():
            stopped = [service.stop(self.settings.stop_timeout) for service in self._services]
        return any(stopped)

    def status(self) -> tuple[ServiceStatus, ServiceStatus]:
        """How Kafka and Redis are now."""
        kafka, redis = (self._status(service) for service in self._services)
        return kafka, redis

    @property
    def _services(self) -> tuple[Service, Service]:
        return self.kafka, self.redis

    @staticmethod
    def _status(service: Service) -> ServiceStatus:
        running = service.running()
        if running is None:
            return ServiceStatus(service.name, None, None, False, service.log)
        return ServiceStatus(
            service.name, running.address, running.pid, service.answers(running), service.log
        )

    def _claim(self) -> None:
        """Refuse a directory that holds somebody else's files."""
        if self.dir.exists() and not self.dir.is_dir():
            raise ServiceError(f"{self.dir} is a file: choose another --dir")
        ours = {"kafka", "redis", "lock"}
        if self.dir.is_dir() and not (self.dir / "lock").exists():
            others = sorted(p.name for p in self.dir.iterdir() if p.name not in ours)
            if others:
                raise ServiceError(
                    f"{self.dir} holds {others[0]}, which no services start wrote: choose an empty --dir"
                )
        self.dir.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One start or stop at a time in a directory; a second one waits for the first."""
        with (self.dir / "lock").open("w") as handle:
            end = time.monotonic() + self.settings.start_timeout * 2
            told = False
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise ServiceError(
                            f"another start or stop has been at work in {self.dir} for too long: "
                            "end it, or choose another --dir"
                        ) from None
                    if not told:
                        self.say(f"another start or stop is at work in {self.dir}; waiting for it")
                        told = True
                    time.sleep(0.1)
            yield
