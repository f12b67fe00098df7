"""GET /v1/alerts: the latest alerts, and those to come as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from serving.api import metrics
from serving.api.access import Caller, needs
from serving.api.feed import Alert, Feed
from serving.api.problems import Problem
from serving.api.work import reply

router = APIRouter(tags=["alerts"])
BEAT = 15.0
"""Seconds after which a silent stream says that it is alive."""
CLOSED = Alert("", None, msgspec.Raw(b"null"))


@router.get("/v1/alerts")
async def latest(
    request: Request,
    caller: Annotated[Caller, Depends(needs("alerts"))],
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """The latest alerts, the newest first: `alert` as it was sent, its `id` (its place in Kafka), its entity's `type`."""
    return reply(request.app.state.feed.last(limit))


@router.get(
    "/v1/alerts/stream", responses={200: {"content": {"text/event-stream": {}}}}, response_class=Response
)
async def stream(
    request: Request,
    caller: Annotated[Caller, Depends(needs("alerts"))],
    last_event_id: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """Alerts as they come (server-sent events `alert`, whose data is as in the list); `Last-Event-ID` first gets what came since then."""
    settings = request.app.state.settings
    # One event loop serves all streams of a process, so counting them needs no lock.
    if request.app.state.streams >= settings.api_max_streams:
        raise Problem(
            503, f"{settings.api_max_streams} streams are open already: close one, or ask again later"
        )
    request.state.endless = True
    return StreamingResponse(
        _events(request, last_event_id), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(request: Request, last_event_id: str) -> AsyncIterator[bytes]:
    feed: Feed = request.app.state.feed
    request.app.state.streams += 1
    metrics.STREAMS.inc()
    try:
        async with feed.listen() as queue:
            sent = ""
            yield b"retry: 2000\n\n"
            for alert in feed.after(last_event_id):
                sent = alert.id
                yield _event(alert)
            while (next_one := await _next(queue, request.app.state.closing)) is not CLOSED:
                if next_one is None:
                    yield b": alive\n\n"
                elif next_one.id != sent:
                    yield _event(next_one)
    finally:
        request.app.state.streams -= 1
        metrics.STREAMS.dec()


async def _next(queue: asyncio.Queue[Alert], closing: asyncio.Event) -> Alert | None:
    """The next alert, None when there was none for BEAT seconds, CLOSED when the API ends."""
    waits = [asyncio.ensure_future(queue.get()), asyncio.ensure_future(closing.wait())]
    try:
        await asyncio.wait(waits, timeout=BEAT, return_when=asyncio.FIRST_COMPLETED)
        if closing.is_set():
            return CLOSED
        return waits[0].result() if waits[0].done() else None  # type: ignore[return-value]
    finally:
        for wait in waits:
            wait.cancel()


def _event(alert: Alert) -> bytes:
    return b"id: %s\nevent: alert\ndata: %s\n\n" % (alert.id.encode(), msgspec.json.encode(alert))
