"""Small Feast objects that tests vary one argument of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Aggregation, Entity, Field, FileSource, KafkaSource, StreamFeatureView
from feast.data_format import JsonFormat
from feast.types import Float64
from feast.value_type import ValueType
from feast_repos import register

from streaming.definitions import load
from streaming.plan import Plan, View

DDL = (
    "user_id STRING, amount DOUBLE, points INT, big BIGINT, price DECIMAL(10,2), ok BOOLEAN, note STRING, "
    "day DATE, tags ARRAY<STRING>, seen TIMESTAMP, at TIMESTAMP"
)
HOUR, MINUTES = timedelta(hours=1), timedelta(minutes=5)
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)


def source(**changes: Any) -> KafkaSource:
    held: dict[str, Any] = {
        "name": "events",
        "kafka_bootstrap_servers": "localhost:9092",
        "topic": "events",
        "timestamp_field": "at",
        "message_format": JsonFormat(schema_json=DDL),
        "batch_source": FileSource(name="past", path="data/past.parquet", timestamp_field="at"),
        "watermark_delay_threshold": timedelta(minutes=2),
    }
    return KafkaSource(**{**held, **changes})


def aggregation(
    function: str = "sum", column: str = "amount", name: str | None = "f", **changes: Any
) -> Aggregation:
    held: dict[str, Any] = {"time_window": HOUR, "slide_interval": MINUTES}
    return Aggregation(column=column, function=function, name=name, **{**held, **changes})


def view(*aggregations: Aggregation, **changes: Any) -> StreamFeatureView:
    """By default one sum of `amount` called f, all features Float64 unless `schema` says otherwise."""
    used: Sequence[Aggregation] = aggregations or (aggregation(),)
    names = dict.fromkeys(a.resolved_name(a.time_window) for a in used)
    held: dict[str, Any] = {
        "name": "v",
        "entities": [USER],
        "source": source(),
        "timestamp_field": "at",
        "aggregations": list(used),
        "schema": [Field(name=name, dtype=Float64) for name in names],
    }
    return StreamFeatureView(**{**held, **changes})


def planned(folder: Path, *views: StreamFeatureView, spark: Any = None, **settings: Any) -> Plan:
    """The plan of a new repo that holds `views`."""
    entities = {entity.name: entity for v in views for entity in [USER] if entity.name in v.entities}
    return load(register(folder, *entities.values(), *views, **settings), spark=spark)


def only(plan: Plan) -> View:
    (held,) = plan.views
    return held
