"""Where history is kept: Delta tables of events, Parquet tables of features."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from streaming.errors import TidemarkError


class HistoryError(TidemarkError):
    """History that is not there, or does not hold what is asked for."""


class StoreSettings(BaseSettings):
    """Settings of what reads history: its place, and the Spark that works on it.

    `history` is a folder or a URI; `history_tasks` is into how many parts entities are shared out (default: four a
    core, so that a hot entity's part does not hold up the rest).
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    history: str = "var/history"
    history_tasks: int | None = Field(default=None, gt=0)
    master: str | None = None
    driver_memory: str = "3g"


def events_path(root: str, source: str) -> str:
    """The Delta table of a source's events."""
    return f"{root.rstrip('/')}/events/{source}"


def features_path(root: str, view: str) -> str:
    """The Parquet table of a view's features as of each event, by `event_date`."""
    return f"{root.rstrip('/')}/features/{view}"


def events(spark: SparkSession, root: str, source: str) -> DataFrame:
    """The events of a source. Raises HistoryError when there are none."""
    path = events_path(root, source)
    try:
        return spark.read.format("delta").load(path)
    except AnalysisException as error:
        raise HistoryError(
            f"there is no history of source {source} in {path}: run `tidemark stream history` first, or name its place "
            "with --history"
        ) from error


def local(root: str) -> Path | None:
    """The folder that `root` names, None for a URI of another file system."""
    scheme, separator, rest = root.partition("://")
    if not separator:
        return Path(root.removeprefix("file:"))
    return Path(rest) if scheme == "file" else None
