"""What a person may set for a lane, by option, or by an environment variable named TIDEMARK_<NAME>."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROCKSDB = "org.apache.spark.sql.execution.streaming.state"


class LaneSettings(BaseSettings):
    """Settings of the online lane.

    `kafka` overrides the brokers that the repo's sources name (host:port, separated by commas).
    `trigger` is the least time between the beginnings of two batches in milliseconds (0: as fast as they finish): what
    a batch costs whatever it holds is not spent more often than readers notice;
    `max_events` bounds a batch; `partitions` is the number of Redis-writing tasks (default: the
    cores Spark has), fixed for a checkpoint's life.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    kafka: str | None = None
    master: str | None = None
    driver_memory: str = "3g"
    trigger: int = Field(200, ge=0)
    max_events: int = Field(500_000, gt=0)
    partitions: int | None = Field(None, gt=0)
    state: Literal["memory", "rocksdb"] = "memory"
    updates: bool = True
    updates_topic: str = "feature-updates"
    dead_letter_topic: str = "dead-letter"
    metrics_port: int | None = None
    ui_port: int | None = None
    """Where Spark's own web page answers; none is off."""
    lease_seconds: float = Field(10.0, gt=0)
    backoff_seconds: float = Field(30.0, gt=0)
    """Longest wait between two attempts to restart after an outage."""
    nice: int = Field(10, ge=0, le=19)
    """How far the lane stands back behind others on its machine (`streaming.priority`)."""

    def spark(self) -> dict[str, str]:
        """Spark settings that follow from these."""
        page = {"spark.ui.enabled": "true", "spark.ui.port": str(self.ui_port)} if self.ui_port else {}
        return _state(self.state) | page


class HistorySettings(BaseSettings):
    """Settings of the history lane.

    `history` is where its tables are: a folder, or a URI that Spark can write. Durations are in the unit
    that a name ends in; `history_trigger` is in milliseconds. A retention of 0 keeps everything.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    history: str = "var/history"
    history_sinks: str = ""
    """Further destinations, with spaces between them; see docs/sinks.md."""
    history_topics: str = ""
    """Other topics of JSON to keep as they are, with spaces between them, such as risk-scores and alerts."""
    history_windows: Literal["none", "tumbling", "all"] = "tumbling"
    history_sessions: bool = True
    history_trigger: int = Field(60_000, ge=0)
    history_max_events: int = Field(1_000_000, gt=0)
    history_state: Literal["memory", "rocksdb"] = "rocksdb"
    history_partitions: int | None = Field(None, gt=0)
    history_upkeep_minutes: float = Field(60.0, ge=0)
    history_retention_days: int = Field(0, ge=0)
    history_vacuum_hours: float = Field(168.0, ge=0)
    history_metrics_port: int | None = None
    kafka: str | None = None
    master: str | None = None
    driver_memory: str = "3g"
    updates: bool = True
    updates_topic: str = "feature-updates"
    backoff_seconds: float = Field(30.0, gt=0)
    history_nice: int = Field(19, ge=0, le=19)
    """Behind the online lane too: history may take its time."""

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self.history_topics.split())

    @property
    def sinks(self) -> tuple[str, ...]:
        return tuple(self.history_sinks.split())

    def spark(self) -> dict[str, str]:
        """Spark settings that follow from these."""
        return _state(self.history_state)


def _state(kind: str) -> dict[str, str]:
    """Spark settings that keep operator state on the heap (`memory`) or on local disks (`rocksdb`)."""
    if kind == "memory":
        return {}
    prefix = "spark.sql.streaming.stateStore"
    return {
        f"{prefix}.providerClass": f"{ROCKSDB}.RocksDBStateStoreProvider",
        f"{prefix}.rocksdb.changelogCheckpointing.enabled": "true",
        f"{prefix}.rocksdb.trackTotalNumberOfRows": "false",
        f"{prefix}.rocksdb.boundedMemoryUsage": "true",
    }
