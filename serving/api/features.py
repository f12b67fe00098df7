"""POST /v1/features: features of a batch of entities."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from serving import moment
from serving.api import metrics, work
from serving.api.access import Caller, needs
from serving.api.problems import Problem
from serving.api.work import note, reply

router = APIRouter(tags=["features"])
NAMES = 2_000
"""References that a request may hold."""


class FeaturesRequest(BaseModel):
    """What to read: a feature service or references, for which entities, as of when."""

    model_config = ConfigDict(extra="forbid")

    feature_service: str | None = Field(None, description="Name of a feature service", max_length=200)
    features: list[str] | None = Field(None, description="References view:feature", max_length=NAMES)
    entities: dict[str, list[str | int]] = Field(
        description="Values of each join key, one for every entity", examples=[{"user_id": ["CUST00000001"]}]
    )
    request: dict[str, list[Any]] = Field(
        default_factory=dict, description="Request data of on-demand views, one value for every entity"
    )
    as_of: datetime | None = Field(
        None, description="Moment to answer for, not before the entities' newest events [default: now]"
    )

    @model_validator(mode="after")
    def _one(self) -> FeaturesRequest:
        if (self.feature_service is None) == (not self.features):
            raise ValueError("name what to read: either feature_service or features")
        if self.as_of is not None and self.as_of.tzinfo is None:
            raise ValueError("as_of needs a time zone: write it like 2026-01-31T12:00:00Z")
        return self


class FeaturesAnswer(BaseModel):
    """Features by columns: value i of each list is of entity i."""

    as_of: datetime
    entities: dict[str, list[str | int]]
    features: dict[str, list[Any]] = Field(
        description="Values by view__feature; null as docs/semantics.md says"
    )
    newest_event: dict[str, list[datetime | None]] = Field(
        description="For each stream view the newest event of each entity; null: never seen"
    )
    incomplete: dict[str, str] = Field(description="Why a feature is null for everybody")


@router.post("/v1/features", response_model=FeaturesAnswer)
async def read(
    request: Request, body: FeaturesRequest, caller: Annotated[Caller, Depends(needs("features"))]
) -> Response:
    """Features of up to TIDEMARK_API_MAX_ENTITIES entities, computed as of now or `as_of`."""
    rows = max(map(len, body.entities.values()), default=0)
    most = request.app.state.settings.api_max_entities
    if rows > most:
        raise Problem(413, f"{rows:,} entities: ask for at most {most:,} at a time", limit=most)
    audit = request.app.state.audit
    first = next(iter(body.entities.values()), [])
    note(
        request,
        service=body.feature_service,
        features=len(body.features or ()),
        rows=rows,
        entities=audit.entities(first),
    )
    wanted = body.feature_service if body.features is None else body.features
    at = None if body.as_of is None else moment.millis(body.as_of)
    found = await work.read(request, wanted, body.entities, body.request, at)
    metrics.ENTITIES.inc(rows)
    return reply(found)
