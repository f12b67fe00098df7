"""What a person may set for a lane, by option, or by an environment variable named TIDEMARK_<NAME>."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROCKSDB = "org.apache.spark.sql.execution.streaming.state"


class LaneSettings(BaseSettings):
    """Settings of the online lane.

    `kafka` overrides the brokers that the repo's sources name (host:port, separated by commas).
    `trigger` is the least time between two batches in milliseconds (0: as fast as they finish);
    `max_events` bounds a batch; `partitions` is the number of Redis-writing tasks (default: the
    cores Spark has), fixed for a checkpoint's life.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    kafka: str | None = None
    master: str | None = None
    driver_memory: str = "3g"
    trigger: int = Field(0, ge=0)
    max_events: int = Field(500_000, gt=0)
    partitions: int | None = Field(None, gt=0)
    state: Literal["memory", "rocksdb"] = "memory"
    updates: bool = True
    updates_topic: str = "feature-updates"
    dead_letter_topic: str = "dead-letter"
    metrics_port: int | None = None
    lease_seconds: float = Field(10.0, gt=0)
    backoff_seconds: float = Field(30.0, gt=0)
    """Longest wait between two attempts to restart after an outage."""

    def spark(self) -> dict[str, str]:
        """Spark settings that follow from these."""
        conf: dict[str, str] = {}
        if self.state == "rocksdb":
            prefix = "spark.sql.streaming.stateStore"
            conf |= {
                f"{prefix}.providerClass": f"{ROCKSDB}.RocksDBStateStoreProvider",
                f"{prefix}.rocksdb.changelogCheckpointing.enabled": "true",
                f"{prefix}.rocksdb.trackTotalNumberOfRows": "false",
                f"{prefix}.rocksdb.boundedMemoryUsage": "true",
            }
        return conf
