"""Work of a route that waits or computes: small reads, others in a thread of a pool; noted for the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from fastapi import Request, Response

from serving.api.reading import Answer

T = TypeVar("T")


async def thread(request: Request, work: Callable[..., T], *arguments: Any) -> T:
    """The result of `work`. Reads of one thread share its connections to Redis."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.app.state.threads, work, *arguments)


async def read(request: Request, *asked: Any) -> Answer:
    """Features: of few entities at once, of more in a thread. Arguments and errors are `FeatureReader.read`'s."""
    reader = request.app.state.reader
    return await reader.read_few(*asked) or await thread(request, reader.read, *asked)


def note(request: Request, **details: Any) -> None:
    """Add to the request's line in the audit log."""
    if not hasattr(request.state, "details"):
        request.state.details = {}
    request.state.details.update(details)


def reply(body: Any) -> Response:
    """`body` as JSON."""
    return Response(msgspec.json.encode(body), media_type="application/json")
