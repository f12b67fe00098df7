"""What a person may set for the credit example, by an environment variable named TIDEMARK_CREDIT_<NAME>."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class CreditSettings(BaseSettings):
    """Where the example keeps its files, what it simulates, and what a wrong decision costs.

    `token_key` keys the tokens that stand for national ids. `loss_given_default` is the share of a loan that a
    default loses, `margin` the share that a repaid one earns; `stale_days` is the age (days) from which on a credit
    record is too old to decide on.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_CREDIT_", extra="ignore")

    folder: Path = ROOT / "var" / "examples" / "credit"
    loans: int = Field(28_638, ge=200)
    seed: int = 4
    token_key: SecretStr = SecretStr("only for the example: set your own")
    loss_given_default: float = Field(0.6, gt=0, le=1)
    margin: float = Field(0.12, gt=0, le=1)
    stale_days: int = Field(45, gt=0)
    offline: Literal["parquet", "redshift"] = "parquet"
    """Where the definitions say the features' history is."""
    redshift_schema: str = "spectrum"

    @property
    def tables(self) -> Path:
        """Folder of the Parquet tables."""
        return self.folder / "tables"

    @property
    def models(self) -> Path:
        return self.folder / "model"
