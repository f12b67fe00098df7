"""What a person may set for the scoring lane, by option, or by an environment variable named TIDEMARK_<NAME>."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ScoringSettings(BaseSettings):
    """Settings of the scoring lane.

    `scoring_group` is the consumer group that its processes share. `scoring_batch` bounds the events of one round;
    `scoring_memory` the megabytes of rings that a process holds of each view, `scoring_recent` the events that it
    keeps for rings it does not hold yet. `scoring_fresh` is how old (ms) a ring may be that is not keyed as the
    topic. `scoring_alert_pause` is the least time (s) between two alerts of an entity. `scoring_log` is the share of
    events whose features go to the feature log. `scoring_reread` is how far back (s) event ids are read again at the
    start [default: the longest watermark delay of the sources].
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    kafka: str | None = None
    scoring_group: str = "tidemark-scores"
    scoring_batch: int = Field(2_000, gt=0)
    scoring_memory: int = Field(256, gt=0)
    scoring_recent: int = Field(500_000, gt=0)
    scoring_fresh: int = Field(500, ge=0)
    scoring_alert_pause: float = Field(300.0, ge=0)
    scoring_log: float = Field(1.0, ge=0, le=1)
    scoring_reread: float | None = Field(None, ge=0)
    scoring_driver_memory: str = "512m"
    scoring_metrics_port: int | None = None
    scores_topic: str = "risk-scores"
    alerts_topic: str = "alerts"
    updates: bool = True
    updates_topic: str = "feature-updates"
    backoff_seconds: float = Field(30.0, gt=0)
