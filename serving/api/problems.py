"""Errors as RFC 9457 problem details: a status, a title that never changes, and one line with the remedy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from serving.moment import AsOfError
from streaming.errors import DefinitionError, ServiceError, TidemarkError

logger = logging.getLogger(__name__)

TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Before the newest event",
    413: "Request too large",
    422: "Request not understood",
    429: "Too many requests",
    500: "Internal error",
    503: "A dependency is away",
}


class Problem(TidemarkError):
    """An answer other than the one asked for. `more` goes into the body, `headers` beside it."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.headers, self.more = status, dict(headers or {}), more


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """The problem as a response."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    return Response(
        msgspec.json.encode({**body, **more}),
        status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


def status_of(error: Exception) -> int:
    """The status that an error of the code below the API means."""
    if isinstance(error, Problem):
        return error.status
    if isinstance(error, AsOfError):
        return 409
    if isinstance(error, (ServiceError, RedisError)):
        return 503
    if isinstance(error, DefinitionError):
        return 422
    return 500


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    app.add_exception_handler(TidemarkError, _known)
    app.add_exception_handler(RedisError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


async def _known(request: Request, error: Exception) -> Response:
    status = status_of(error)
    if status == 500:
        return await _unknown(request, error)
    extra = error if isinstance(error, Problem) else Problem(status, "")
    headers = {"Retry-After": "2", **extra.headers} if status == 503 else extra.headers
    said = " ".join(str(error).split())
    if isinstance(error, RedisError):
        said = f"Redis does not answer ({said}): ask again soon"
    return answer(status, said, headers, **extra.more)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [
        {"at": ".".join(str(part) for part in item["loc"][1:] or item["loc"]), "why": item["msg"]}
        for item in error.errors()[:20]
    ]
    first = wrong[0]
    return answer(422, f"{first['at'] or 'body'}: {first['why']}", errors=wrong)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer(error.status_code, str(error.detail), error.headers)


async def _unknown(request: Request, error: Exception) -> Response:
    number = request.scope.get("state", {}).get("request_id", "")
    logger.error("request %s failed", number, exc_info=error)
    return answer(500, f"something failed that should not: give request {number} to whoever runs this API")
