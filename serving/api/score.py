"""POST /v1/score: what an event would score, and why, before it is sent."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response
from pydantic import BaseModel, Field

from serving.api import metrics
from serving.api.access import Caller, needs
from serving.api.problems import Problem
from serving.api.scorer import EventScorer
from serving.api.work import note, reply

router = APIRouter(tags=["scores"])


class Reason(BaseModel):
    component: str
    share: float = Field(description="Part of the score that this component makes up, 0 to 1")


class ModelAnswer(BaseModel):
    name: str
    version: str
    probability: float | None


class ScoreAnswer(BaseModel):
    """Scores of an event, from features that count it."""

    event_id: str | None
    timestamp: str
    source: str
    service: str
    score: float | None = Field(description="The output that counts, named by score_name")
    score_name: str
    reasons: list[Reason] = Field(description="Components with the largest shares, the largest first")
    model: ModelAnswer | None = Field(description="What the promoted model says, if the service names one")
    scores: dict[str, Any] = Field(description="Every output of the service's on-demand views")
    features: dict[str, Any] = Field(description="What they were made of, by view__feature")
    incomplete: list[str] = Field(
        description="Features that are null because their window was not seen whole"
    )


@router.post("/v1/score/{stream}", response_model=ScoreAnswer | list[ScoreAnswer])
async def score(
    request: Request,
    stream: str,
    caller: Annotated[Caller, Depends(needs("scores"))],
    body: Annotated[
        dict[str, Any] | list[dict[str, Any]],
        Body(description="An event as it would be sent to the stream's topic, or a list of them"),
    ],
) -> Response:
    """Score an event that was not sent yet, or each of a list by itself.

    It is parsed and admitted as the lanes do; one that they would not admit is refused with their reason.
    """
    state = request.app.state
    scorer: EventScorer | None = state.scorer
    if scorer is None:
        raise Problem(404, "this API scores nothing: start it without --no-scores")
    source = scorer.source(stream)
    events = body if isinstance(body, list) else [body]
    most = state.settings.api_max_entities
    if not 0 < len(events) <= most:
        raise Problem(
            413 if events else 422, f"{len(events):,} events: send 1 to {most:,} at a time", limit=most
        )
    key = scorer.services[source].entity
    note(
        request,
        stream=source,
        rows=len(events),
        entities=state.audit.entities(e.get(key, "") for e in events),
    )
    # One thread of its own: events are scored in turns, and must not keep readers waiting.
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(state.scoring, scorer.score, source, events)
    metrics.SCORED.labels(source).inc(len(events))
    return reply(found if isinstance(body, list) else found[0])
