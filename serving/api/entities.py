"""GET /v1/entities: what is known of one entity, now and lately."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from serving import moment
from serving.api.access import Caller, needs
from serving.api.catalog import EntityType
from serving.api.follow import EVENT, SCORE, UPDATE, place
from serving.api.recent import Recent
from serving.api.work import note, read, reply

router = APIRouter(tags=["entities"])
_decode = msgspec.json.Decoder()


class EntityAnswer(BaseModel):
    """Features of all stream views of one entity, its last events and its last scores, the newest first."""

    type: str
    id: str | int
    as_of: str
    features: dict[str, Any] = Field(description="Value by view__feature")
    newest_event: dict[str, str | None]
    incomplete: dict[str, str]
    events: list[dict[str, Any]] = Field(
        description="Messages of its topics that this process has read: topic, partition, offset, received, event"
    )
    scores: list[dict[str, Any]] = Field(description="Messages of risk-scores, as events are")


@router.get("/v1/entities")
async def types(request: Request, caller: Annotated[Caller, Depends(needs("entities"))]) -> Response:
    """Entity types, with the windows of each feature (in seconds)."""
    held = request.app.state.catalog.types
    return reply({name: _described(kind) for name, kind in sorted(held.items())})


@router.get("/v1/entities/{type}/{id}", response_model=EntityAnswer)
async def one(
    request: Request,
    type: str,
    id: str,
    caller: Annotated[Caller, Depends(needs("entities"))],
    events: Annotated[int, Query(ge=0, le=200, description="Most events to list")] = 20,
    scores: Annotated[int, Query(ge=0, le=200, description="Most scores to list")] = 50,
) -> Response:
    """Features as of now, last events, score history of one entity."""
    kind, value = _asked(request, type, id)
    refs = [f"{view.name}:{feature.name}" for view in kind.views for feature in view.features]
    found = await read(request, refs, {kind.join_key: [value]})
    recent: Recent = request.app.state.recent
    return reply(
        {
            "type": kind.name,
            "id": value,
            "as_of": found.as_of,
            "features": {name: values[0] for name, values in found.features.items()},
            "newest_event": {view: stamps[0] for view, stamps in found.newest_event.items()},
            "incomplete": found.incomplete,
            "events": _listed(recent, place(EVENT, kind.join_key, value), events, "event"),
            "scores": _listed(recent, place(SCORE, kind.join_key, value), scores, "score"),
        }
    )


@router.get("/v1/entities/{type}/{id}/series")
async def series(
    request: Request, type: str, id: str, caller: Annotated[Caller, Depends(needs("entities"))]
) -> Response:
    """Features as of the entity's events, as far back as this process has read feature-updates.

    For each view the times of those events, and of each feature a value for each of them.
    """
    kind, value = _asked(request, type, id)
    answer = {}
    for view in kind.views:
        held = request.app.state.recent.last(place(UPDATE, kind.join_key, value, view.name), 200)
        # The lanes each send their own, in turns.
        rows = sorted(
            (_decode.decode(record.value) for record in held), key=lambda row: row["event_timestamp"]
        )
        answer[view.name] = {
            "time": [row["event_timestamp"] for row in rows],
            "features": {f.name: [row["features"].get(f.name) for row in rows] for f in view.features},
        }
    return reply(answer)


def _asked(request: Request, name: str, text: str) -> tuple[EntityType, str | int]:
    kind: EntityType = request.app.state.catalog.type(name)
    value = kind.value(text)
    note(request, type=kind.name, entities=request.app.state.audit.entities([value]))
    return kind, value


def _listed(recent: Recent, where: tuple[str, str], count: int, name: str) -> list[dict[str, Any]]:
    if not count:
        return []
    return [
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "received": moment.text(record.time),
            name: msgspec.Raw(record.value),
        }
        for record in reversed(recent.last(where, count))
    ]


def _described(kind: EntityType) -> dict[str, Any]:
    return {
        "join_key": kind.join_key,
        "views": {
            view.name: {
                f.name: {
                    "function": f.function,
                    "column": f.column,
                    "window": f.window.length / 1000,
                    "slide": f.window.slide / 1000,
                }
                for f in view.features
            }
            for view in kind.views
        },
    }
