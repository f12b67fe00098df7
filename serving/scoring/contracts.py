"""What the scoring lane sends: messages of the topics risk-scores and alerts, both keyed by the entity."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Instant = Annotated[datetime, Meta(tz=True)]
Place = Annotated[str, Meta(pattern=r"^.+/\d+/\d+$")]


class ModelScore(Struct, frozen=True, kw_only=True):
    """What a trained model says of the event."""

    name: Annotated[str, Meta(description="Name of the model")]
    version: Annotated[str, Meta(description="Its promoted version")]
    probability: Annotated[float | None, Meta(description="Calibrated probability, 0 to 1")]


class RiskScore(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scores of one event. A message that is sent again has the same `score_id`."""

    score_id: Annotated[Place, Meta(description="Where the event is: topic/partition/offset")]
    timestamp: Annotated[Instant, Meta(description="When the event happened, UTC, milliseconds")]
    arrived: Annotated[Instant, Meta(description="When Kafka took the event")]
    scored: Annotated[Instant, Meta(description="When it was scored")]
    source: Annotated[str, Meta(description="The Feast source it is an event of")]
    service: Annotated[str, Meta(description="The feature service that scored it")]
    event_id: Annotated[str | None, Meta(description="The source's event id, null if it names none")]
    entity: Annotated[dict[str, str], Meta(description="The topic's key: join key and value")]
    score: Annotated[float | None, Meta(description="The output that counts, named by `score_name`")]
    score_name: Annotated[str, Meta(description="The service's tag `score`")]
    inexact: Annotated[
        bool, Meta(description="Whether features may lack events before this one, or hold later ones")
    ]
    scores: Annotated[dict[str, Any], Meta(description="Every output of the service's on-demand views")]
    model: Annotated[ModelScore | None, Meta(description="A promoted model's probability, if there is one")]


class Alert(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A score above its threshold, or a decision. `alert_id` is the `score_id` of the event that raised it."""

    alert_id: Annotated[Place, Meta(description="Where the event is: topic/partition/offset")]
    timestamp: Annotated[Instant, Meta(description="When the event happened, UTC, milliseconds")]
    event_type: Annotated[str, Meta(description="The service's tag `event_type`")]
    entity_id: Annotated[str, Meta(description="Value of the topic's key")]
    risk_score: Annotated[float | None, Meta(description="The score that counts")]
    alert_level: Annotated[Literal["critical", "high"], Meta(description="critical above the tag's bound")]
    requires_action: Annotated[bool, Meta(description="Whether one of the decisions is true")]
    details: Annotated[dict[str, Any], Meta(description="service, event_id, decisions and scores")]
