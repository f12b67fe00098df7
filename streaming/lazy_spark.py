"""Feast without a JVM until one is needed.

Feast 0.67 starts a Spark session for every Spark udf it loads, even to read features or to register
views, although only its own processors run the udf. A feature server would need Java, and a lane would
find a session that lacks its settings. After `install` the session starts when it is first used.
"""

from __future__ import annotations

from typing import Any

from feast.transformation import spark_transformation


class LazySession:
    """Stands for Feast's Spark session and becomes it on first use."""

    def __init__(self, config: dict[str, str] | None) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_start(self._config), name)


_start = spark_transformation.get_or_create_new_spark_session


def install() -> None:
    """Make Feast's transformations hold lazy sessions, in this process; a second call changes nothing."""
    spark_transformation.get_or_create_new_spark_session = LazySession  # type: ignore[assignment]
