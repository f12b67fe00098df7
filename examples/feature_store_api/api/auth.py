"""Who may do what: keys with roles, of which only digests are known here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Header, HTTPException, Request

from examples.feature_store_api.settings import Key, Role

RANKS: Mapping[Role, int] = {"reader": 0, "writer": 1, "admin": 2}


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def caller(keys: Mapping[str, Key], given: str) -> tuple[str, Role] | None:
    """The name and role behind a key, or None. It takes as long whichever key is right."""
    held = digest(given)
    found = [(name, key.role) for name, key in keys.items() if hmac.compare_digest(key.sha256, held)]
    return found[0] if found else None


def needs(role: Role) -> Callable[..., str]:
    """A dependency that lets callers of that role or a higher one pass; it answers 401 or 403 to others."""

    def check(
        request: Request,
        authorization: Annotated[str | None, Header()] = None,
        x_api_key: Annotated[str | None, Header()] = None,
    ) -> str:
        scheme, _, bearer = (authorization or "").partition(" ")
        given = x_api_key or (bearer.strip() if scheme.lower() == "bearer" else "")
        found = caller(request.app.state.settings.api_keys, given) if given else None
        if found is None:
            raise HTTPException(
                401,
                "give a known key as Authorization: Bearer KEY or X-API-Key",
                {"WWW-Authenticate": "Bearer"},
            )
        name, held = found
        if RANKS[held] < RANKS[role]:
            raise HTTPException(403, f"{name} is a {held}; this needs a {role}")
        return name

    return check
