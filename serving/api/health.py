"""Whether the API runs, and whether it can do its work; metrics."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from serving.api import problems
from serving.api.access import Caller, needs
from serving.api.work import reply, thread

router = APIRouter(tags=["operation"])


@router.get("/health/live")
async def live() -> Response:
    """Whether the process answers."""
    return reply({"status": "live"})


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """Whether requests can be answered, and which dependency is away: 503 without Redis, 200 without Kafka.

    Features do not need Kafka; events, scores and alerts stand still without it.
    """
    state = request.app.state
    found = {"redis": "ok", "kafka": "ok" if state.follower else "not followed"}
    try:
        await asyncio.wait_for(thread(request, _ping, state.reader), 5)
    except (RedisError, OSError, TimeoutError) as error:
        found["redis"] = f"away: {' '.join(str(error).split()) or 'no answer within 5 s'}"[:300]
    if state.follower and (trouble := state.follower.trouble()):
        found["kafka"] = f"away: {trouble}"
    if found["redis"] != "ok":
        detail = f"Redis at {str(state.reader.target).split(',')[0]} does not answer: start it"
        return problems.answer(503, detail, {"Retry-After": "2"}, dependencies=found)
    status = "ready" if found["kafka"] in ("ok", "not followed") else "degraded"
    return reply({"status": status, "dependencies": found})


@router.get("/metrics")
async def metrics(request: Request, caller: Annotated[Caller, Depends(needs("metrics"))]) -> Response:
    """This process' metrics, for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _ping(reader: object) -> None:
    reader.online._get_client(reader.store.config.online_store).ping()  # type: ignore[attr-defined]
