"""Bearer tokens of an OpenID Connect issuer, checked with its published keys."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from streaming.errors import ServiceError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a public key; one that shares a secret, and none at all, are refused."""
LEEWAY = 30.0
"""Seconds that the issuer's clock may differ."""
FRESH, PAUSE = 3_600.0, 10.0
"""Seconds for which published keys are kept, and between two questions for a key that is not among them."""


class TokenError(Exception):
    """A token that is not accepted; the text says why, for the caller."""


class Tokens:
    """Accepts tokens of `issuer` meant for `audience`. `jwks` is where its keys are, found out if empty.

    `fetch` returns the JSON object at an address; `clock` counts seconds for the age of the keys.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        jwks: str = "",
        fetch: Callable[[str], Mapping[str, Any]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer, self.audience, self._jwks = issuer, audience, jwks
        self._fetch, self._clock = fetch or _fetch, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._loaded = -FRESH
        self._lock = threading.Lock()

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says. Raises TokenError, or ServiceError when the issuer does not answer."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise TokenError("the token's algorithm is not accepted")
            return jwt.decode(
                token,
                self._key(str(header.get("kid", ""))).key,
                algorithms=[header["alg"]],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired") from None
        except jwt.PyJWTError as error:
            raise TokenError(f"the token is not accepted: {' '.join(str(error).split())[:120]}") from None

    def _key(self, kid: str) -> jwt.PyJWK:
        with self._lock:
            age = self._clock() - self._loaded
            if age >= FRESH or (kid not in self._keys and age >= PAUSE):
                self._load()
            if kid not in self._keys:
                raise TokenError("the token is signed with a key that its issuer does not publish")
            return self._keys[kid]

    def _load(self) -> None:
        if not self._jwks:
            found = self._fetch(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            self._jwks = str(found.get("jwks_uri", ""))
        published = self._fetch(self._jwks).get("keys", [])
        keys = {}
        for entry in published:
            if entry.get("use", "sig") == "sig" and entry.get("kty") in ("RSA", "EC", "OKP"):
                keys[str(entry.get("kid", ""))] = jwt.PyJWK.from_dict(entry)
        self._keys, self._loaded = keys, self._clock()


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Scopes of a token: `scope` with spaces between them, or the list `scp`; `tidemark.` before one is dropped."""
    listed = claims.get("scope", claims.get("scp", ()))
    words = listed.split() if isinstance(listed, str) else listed
    return frozenset(str(word).removeprefix("tidemark.").removeprefix("tidemark:") for word in words)


def _fetch(address: str) -> Mapping[str, Any]:
    try:
        if not address.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("not an https address")
        with urllib.request.urlopen(address, timeout=5) as answer:
            found = json.loads(answer.read(1_048_576))
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"the keys of {address} cannot be had ({error}): check TIDEMARK_API_JWKS"
        ) from error
    if not isinstance(found, dict):
        raise ServiceError(f"{address} holds no key set: check TIDEMARK_API_JWKS")
    return found
