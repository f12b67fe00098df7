"""Numbers that must not leave: a card's and a person's become tokens before anything is sent.

A token is a keyed hash (HMAC-SHA-256): the same number gives the same token, so that it can be counted and joined, and
without the key nobody can try all numbers until one fits.
"""

from __future__ import annotations

import base64
import hmac
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from streaming.errors import TidemarkError

Kind = Literal["card", "person"]
SIMULATED = b"these people are simulated"
"""The key where none is given: what it hides is made up."""
LEAST = 16
"""Bytes of a key that cannot be guessed."""


class TokenSettings(BaseSettings):
    """`key` is read from TIDEMARK_TOKEN_KEY, or from the file that TIDEMARK_TOKEN_KEY_FILE names."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_TOKEN_", extra="ignore")

    key: SecretStr | None = None
    key_file: Path | None = None

    def secret(self) -> bytes:
        """The key. Raises TidemarkError when it cannot be read or is too short."""
        if self.key is None and self.key_file is None:
            return SIMULATED
        try:
            text = self.key.get_secret_value() if self.key else (self.key_file or Path()).read_text().strip()
        except OSError as error:
            raise TidemarkError(
                f"the key of tokens cannot be read from {self.key_file} ({error.strerror}): correct "
                "TIDEMARK_TOKEN_KEY_FILE"
            ) from None
        if len(text.encode()) < LEAST:
            raise TidemarkError(
                f"the key of tokens has fewer than {LEAST} bytes: make one with `openssl rand -hex 32`"
            )
        return text.encode()


class Tokens:
    """Makes tokens with one key. Each kind of number has tokens of its own."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, settings: TokenSettings) -> Self:
        """With the key of the settings."""
        return cls(settings.secret())

    def __call__(self, kind: Kind, number: str) -> str:
        """16 characters (80 bits) for a number, whatever spaces and dashes it is written with."""
        plain = "".join(character for character in number if character.isalnum())
        hashed = hmac.digest(self._key, f"{kind}:{plain}".encode(), "sha256")
        return base64.b32encode(hashed[:10]).decode()


@cache
def tokens() -> Tokens:
    """Those of this process; the key is read once."""
    return Tokens.of(TokenSettings())


def card_number(row: int) -> str:
    """The number on a simulated card: 16 digits with a valid check digit, of a range that no bank issues from."""
    digits = f"999999{row % 10**9:09d}"
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    check = -(sum(doubled) + sum(map(int, digits[-2::-2]))) % 10
    return f"{digits}{check}"


def national_id(row: int) -> str:
    """The national id of a simulated person; none that begins with 9 and goes on with 00 is ever issued."""
    return f"9{row // 10**6 % 100:02d}-00-{row % 10**6:06d}"
