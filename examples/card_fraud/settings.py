"""What a person may set for this example, by an environment variable named TIDEMARK_CARDS_<NAME>."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REPO = HERE / "feature_repo"
MODEL = "card_fraud"


class CardSettings(BaseSettings):
    """What is simulated, and what a wrong answer costs.

    `users` of the shared population pay `a_day` times each on average, for `days` days; `fraud_rate` is the share of
    payments that belong to a chain, `spree_rate` that of honest payments after which more follow within minutes.
    `alarm_cost` (dollars) is what a false alarm costs; a fraud that passes costs its amount and `fraud_cost`.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_CARDS_", extra="ignore")

    folder: Path = ROOT / "var" / "examples" / "card_fraud"
    users: int = Field(1_500, ge=20)
    a_day: float = Field(4.0, gt=0)
    days: int = Field(56, ge=35)
    fraud_rate: float = Field(0.0025, gt=0, lt=0.2)
    spree_rate: float = Field(0.004, ge=0, lt=0.5)
    seed: int = 123
    alarm_cost: float = Field(5.0, gt=0)
    fraud_cost: float = Field(15.0, ge=0)
