"""Who calls, and what they may do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from serving.api import keys, tokens
from serving.api.audit import Audit
from serving.api.problems import Problem
from serving.api.settings import ApiSettings
from streaming.errors import ServiceError

EVERYTHING = frozenset(keys.SCOPES)


@dataclass(frozen=True)
class Caller:
    """Somebody, as the audit log names them, and their scopes."""

    name: str
    scopes: frozenset[str]


class Access:
    """Finds out callers. Raises ServiceError when callers have to name themselves and cannot."""

    def __init__(self, settings: ApiSettings, audit: Audit) -> None:
        self._open = not settings.api_auth
        self._audit = audit
        self._keys = keys.load(settings.api_keys, settings.api_keys_file)
        self._tokens = (
            tokens.Tokens(settings.api_issuer, settings.api_audience, settings.api_jwks)
            if settings.api_issuer
            else None
        )
        if not self._open and not self._keys and self._tokens is None:
            raise ServiceError(
                "nobody could use this API: make a key with `tidemark serve --new-key NAME` and set "
                "TIDEMARK_API_KEYS_FILE, or set TIDEMARK_API_ISSUER and TIDEMARK_API_AUDIENCE; "
                "`tidemark serve --no-auth` opens it to this machine"
            )

    async def caller(self, request: Request) -> Caller:
        """Raises Problem 401."""
        if self._open:
            return Caller("local", EVERYTHING)
        key = request.headers.get("x-api-key", "")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.startswith(keys.PREFIX):
            key, token = token, ""
        if key:
            held = self._keys.find(key)
            if held is None:
                raise _unknown("the API key is not known")
            return Caller(f"key:{held.name}", held.scopes)
        if scheme.lower() != "bearer" or not token or self._tokens is None:
            raise _unknown("send an API key (X-API-Key, or Authorization: Bearer) or an issuer's token")
        try:
            claims = await asyncio.to_thread(self._tokens.claims, token.strip())
        except tokens.TokenError as error:
            raise _unknown(str(error)) from None
        return Caller(f"subject:{self._audit.hash(claims['sub'])}", tokens.scopes(claims) & EVERYTHING)


def _unknown(why: str) -> Problem:
    return Problem(401, why, {"WWW-Authenticate": 'Bearer realm="tidemark"'})


def needs(scope: str) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency of a route: its caller, who must have `scope`. Raises Problem 401 or 403."""

    async def caller(request: Request) -> Caller:
        found: Caller = await request.app.state.access.caller(request)
        request.state.caller = found.name
        if scope not in found.scopes:
            raise Problem(403, f"{found.name} lacks the scope {scope}: ask for it", scope=scope)
        return found

    return caller
