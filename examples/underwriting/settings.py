"""Settings of the example, read from the environment when definitions are imported."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

HERE = Path(__file__).parent
REPO = HERE / "feature_repo"


class Definitions(BaseSettings):
    """What the definitions are made for; each is read from UNDERWRITING_<NAME>, `kafka` from TIDEMARK_BOOTSTRAP.

    `profile` is where features live: on this machine (Parquet and Tidemark's Redis store) or on AWS (Redshift and
    DynamoDB). `database` and `db_schema` are Redshift's; `kafka` is the broker of the streams, host:port.
    """

    model_config = SettingsConfigDict(env_prefix="UNDERWRITING_", extra="ignore")

    profile: Literal["local", "aws"] = "local"
    database: str = "insurance_features"
    db_schema: str = "insurance"
    kafka: str = Field("localhost:9092", validation_alias="TIDEMARK_BOOTSTRAP")


class Warehouse(BaseSettings):
    """How to reach Redshift; each is read from REDSHIFT_<NAME>, and options of the command win."""

    model_config = SettingsConfigDict(env_prefix="REDSHIFT_", extra="ignore")

    host: str = ""
    port: int = 5439
    database: str = "insurance_features"
    user: str = ""
    password: SecretStr = SecretStr("")
