"""Which Redis to talk to: Feast's connection string, as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.errors import ServiceError
from streaming.redis.connection import Address
from streaming.redis.pump import WINDOW

_CLUSTER_CLIENT_OPTIONS = {
    "db",
    "skip_full_coverage_check",
    "require_full_coverage",
    "read_from_replicas",
    "cluster_error_retry_attempts",
    "reinitialize_steps",
    "dynamic_startup_nodes",
}
"""Options Feast hands to redis-py's cluster client, which a connection to one node does not know."""


def with_password(connection: str) -> str:
    """The connection string with the password that a `password_file=PATH` in it holds. Raises ServiceError."""
    parts = connection.split(",")
    for i, part in enumerate(parts):
        name, _, path = part.partition("=")
        if name == "password_file":
            try:
                parts[i] = f"password={Path(path).read_text().strip()}"
            except OSError as error:
                raise ServiceError(
                    f"the password of Redis cannot be read from {path} ({error.strerror}): correct password_file in the "
                    "connection string"
                ) from None
            if "," in parts[i]:
                raise ServiceError(
                    f"the password of Redis in {path} has a comma, which ends it: choose another"
                )
    return ",".join(parts)


def masked(connection: str) -> str:
    """The connection string for a person's eyes."""
    parts = connection.split(",")
    return ",".join("password=***" if part.startswith("password=") else part for part in parts)


@dataclass(frozen=True)
class RedisTarget:
    """One Redis, or a Redis Cluster named by some of its nodes.

    `connection` has Feast's form `host:port,db=0,username=...,password=...,ssl=true`, or `password_file=PATH` in
    place of the password. `timeout` is
    how long (seconds) a server may be silent before it counts as away; `window` how many bytes may
    be in flight on a connection. Raises ServiceError when the string names no host, or a file that cannot be read.
    """

    connection: str = "localhost:6379"
    cluster: bool = False
    timeout: float = 30.0
    window: int = WINDOW

    def __post_init__(self) -> None:
        # Read here, on the machine that starts the work: its tasks may run where the file is not.
        object.__setattr__(self, "connection", with_password(self.connection))
        if not self.addresses:
            raise self._unreadable()
        if self.cluster and "db=" in self.connection and "db=0" not in self.connection.split(","):
            raise ServiceError("a Redis Cluster has database 0 alone: remove db= from the connection string")

    def _unreadable(self) -> ServiceError:
        return ServiceError(f"no host:port in connection string {self}: write it as redis.example:6379,db=0")

    def __str__(self) -> str:
        """The connection string without its password."""
        return masked(self.connection)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The nodes named."""
        parts = [part.strip().rpartition(":") for part in self.connection.split(",") if "=" not in part]
        try:
            return tuple(Address(host, int(port)) for host, _, port in parts)
        except ValueError:
            raise self._unreadable() from None

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of redis-py, read as Feast reads them: JSON where it parses, else text."""
        options: dict[str, Any] = {}
        for part in self.connection.split(","):
            name, equals, value = part.partition("=")
            if not equals or (self.cluster and name in _CLUSTER_CLIENT_OPTIONS):
                continue
            try:
                options[name] = json.loads(value) if name not in ("username", "password") else value
            except json.JSONDecodeError:
                options[name] = value
        return options
