"""What a person may set for the feature store example, by an environment variable TIDEMARK_FRAUD_<NAME>."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

Role = Literal["reader", "writer", "admin"]


class Key(BaseModel):
    """A caller of the API: the SHA-256 of their key, in hexadecimal, and what they may do."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    role: Role


class FraudSettings(BaseSettings):
    """Where the example keeps its files, what it simulates, and what its API allows.

    `postgres` is a URI of a database; without one a server of the example's own is started. `events` payments
    of `users` users fall into `days` days that end when the example starts. `api_keys` is a JSON object of callers
    by name. `page` is the default and `most` the largest number of rows in an answer and in a batch.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_FRAUD_", extra="ignore")

    folder: Path = ROOT / "var" / "examples" / "feature_store_api"
    bootstrap: str = "localhost:9092"
    topic: str = "financial-transactions"
    postgres: str = ""
    events: int = Field(150_000, ge=1_000)
    users: int = Field(2_500, ge=10)
    days: float = Field(60, gt=0)
    seed: int = 7
    api_keys: dict[str, Key] = Field(default_factory=dict)
    page: int = Field(250, gt=0)
    most: int = Field(10_000, gt=0)

    @property
    def history(self) -> Path:
        """Folder of the history lane's tables."""
        return self.folder / "history"
