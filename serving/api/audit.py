"""Who asked for what and when, one line of JSON each, without personal data.

Entities and the subjects of tokens are written as a keyed hash (HMAC-SHA-256, 16 hexadecimal digits):
whoever has the key can find a known person's lines; nobody can read a person out of a line.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from streaming.errors import ServiceError

SHOWN = 20
"""Entities of a request that a line names; `rows` counts all of them."""


class Audit:
    """Writes lines to `path`; `-` is standard error, nothing writes none.

    Without a `key` hashes are comparable until the process ends, no longer. Raises ServiceError when
    the file cannot be written.
    """

    def __init__(self, path: str, key: str = "", clock: Callable[[], float] = time.time) -> None:
        self._key = key.encode() or secrets.token_bytes(32)
        self._clock, self._lock = clock, threading.Lock()
        self._out = _open(path)

    def hash(self, value: object) -> str:
        """The keyed hash of an entity's id or a subject."""
        return hmac.new(self._key, str(value).encode(), hashlib.sha256).hexdigest()[:16]

    def write(
        self, request: str, caller: str, action: str, status: int, seconds: float, **details: Any
    ) -> None:
        """One line. `details` hold names of services, views and streams, and counts; never values."""
        if self._out is None:
            return
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment,
            "request": request,
            "caller": caller,
            "action": action,
            "status": status,
            "ms": round(seconds * 1000, 2),
            **details,
        }
        with self._lock:
            self._out.write(msgspec.json.encode(line) + b"\n")
            self._out.flush()

    def entities(self, values: Iterable[object]) -> list[str]:
        """Hashes of the first of them."""
        return [self.hash(value) for value, _ in zip(values, range(SHOWN), strict=False)]


def _open(path: str) -> BinaryIO | None:
    if not path:
        return None
    if path == "-":
        return sys.stderr.buffer
    try:
        return Path(path).open("ab")
    except OSError as error:
        raise ServiceError(
            f"the audit log {path} cannot be written ({error.strerror}): correct TIDEMARK_API_AUDIT"
        ) from error
