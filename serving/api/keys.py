"""API keys: the caller holds the key, the API only its hash.

A key is 32 random bytes, so that a plain SHA-256 of it cannot be guessed back. An entry is one line,
`NAME:SCOPE,SCOPE:HASH`; a `#` begins a comment.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streaming.errors import ServiceError

SCOPES = ("features", "scores", "entities", "alerts", "metrics")
"""What a caller may be allowed: each is a part of the API."""

PREFIX = "tdm_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Key:
    """An entry: who holds the key, what it opens, and its SHA-256 in hexadecimal."""

    name: str
    scopes: frozenset[str]
    hash: str

    def line(self) -> str:
        return f"{self.name}:{','.join(sorted(self.scopes))}:{self.hash}"


class Keys:
    """The entries that are valid."""

    def __init__(self, entries: Iterable[Key]) -> None:
        self._by_hash = {entry.hash: entry for entry in entries}

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, key: str) -> Key | None:
        """The entry of a key that a caller shows. Looked up by hash: its timing tells nothing of other keys."""
        return self._by_hash.get(digest(key))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def make(name: str, scopes: Sequence[str] = SCOPES) -> tuple[str, Key]:
    """A fresh key and its entry. Raises ServiceError for a name or a scope that cannot be."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, parse(f"{name}:{','.join(scopes)}:{digest(key)}")


def parse(entry: str) -> Key:
    """One entry. Raises ServiceError saying what is wrong, without the hash."""
    name, first, rest = entry.partition(":")
    listed, second, hashed = rest.partition(":")
    if not first or not second or not _NAME.fullmatch(name):
        raise ServiceError(
            f"API key {name[:64]!r}: an entry is NAME:SCOPE,SCOPE:HASH: make one with `tidemark serve --new-key`"
        )
    scopes = frozenset(scope for scope in listed.split(",") if scope)
    if not scopes or not scopes <= set(SCOPES):
        wrong = ", ".join(sorted(scopes - set(SCOPES))) or "none"
        raise ServiceError(f"API key {name}: scopes {wrong}: choose from {', '.join(SCOPES)}")
    if not re.fullmatch(r"[0-9a-f]{64}", hashed):
        raise ServiceError(
            f"API key {name}: the last part is not a SHA-256: make one with `tidemark serve --new-key`"
        )
    return Key(name, scopes, hashed)


def load(text: str, file: Path | None) -> Keys:
    """Entries of `text`, with spaces between them, and of a file. Raises ServiceError."""
    lines = text.split()
    if file is not None:
        try:
            content = file.read_text()
        except OSError as error:
            raise ServiceError(
                f"API keys in {file} cannot be read ({error.strerror}): correct TIDEMARK_API_KEYS_FILE"
            ) from error
        lines += [line for line in (raw.partition("#")[0].strip() for raw in content.splitlines()) if line]
    return Keys(parse(line) for line in lines)
