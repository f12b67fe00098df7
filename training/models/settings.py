"""Where models are kept, and what training asks of them."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ModelSettings(BaseSettings):
    """Settings of training and serving models.

    `models` is their folder. A training set has at most `model_rows` rows: all frauds, and as many of the others,
    weighted for those left out. `model_alert_rate` is the share of events that may raise an alert, at which recall
    is measured. `model_certainty` is the share of resamples of the held-out period in which a model must be ahead
    before it is promoted by itself.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore", protected_namespaces=())

    models: str = "var/models"
    model_rows: int = Field(400_000, gt=0)
    model_alert_rate: float = Field(0.005, gt=0, lt=1)
    model_certainty: float = Field(0.9, gt=0, le=1)
