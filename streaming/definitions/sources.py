"""Feast KafkaSources -> sources of the plan."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from feast import KafkaSource, StreamFeatureView
from feast.repo_config import RepoConfig

from streaming.definitions import formats, tags
from streaming.definitions.features import category
from streaming.errors import DefinitionError
from streaming.plan import Source

DEFAULT_WATERMARK = timedelta(minutes=2)


@dataclass(frozen=True)
class Stream:
    """A source with its messages' columns; `struct` is the column that holds them in a pass over all sources."""

    source: Source
    message: formats.Message
    struct: str
    renamed: dict[str, str]


def kafka(view: StreamFeatureView) -> KafkaSource:
    """The KafkaSource that a view reads."""
    return cast(KafkaSource, view.stream_source)


def skew(source: KafkaSource) -> int:
    """How far (ms) ahead of the broker's clock an event may be. Raises DefinitionError."""
    return tags.milliseconds(source.tags, "max_future_skew", 5_000)


def streams(views: Sequence[StreamFeatureView], config: RepoConfig) -> dict[str, Stream]:
    """The sources of `views` by name, in order of their names. Raises DefinitionError."""
    registered: dict[str, KafkaSource] = {}
    for view in views:
        held = copy.copy(kafka(view))
        held.name = tags.stream_name(held)
        if registered.setdefault(held.name, held) != held:
            raise DefinitionError(f"source {held.name} differs between views: run feast apply again")
    result: dict[str, Stream] = {}
    topics: dict[str, str] = {}
    for number, name in enumerate(sorted(registered)):
        topic = registered[name].kafka_options.topic
        if topics.setdefault(topic, name) != name:
            raise DefinitionError(
                f"sources {topics[topic]} and {name} both read topic {topic}: let their views share one KafkaSource"
            )
        message = formats.message(registered[name], config)
        try:
            source = _source(registered[name], message)
        except DefinitionError as error:
            raise DefinitionError(f"source {name}: {error}") from None
        result[name] = Stream(source, message, f"source_{number}", dict(registered[name].field_mapping))
    return result


def _source(kafka: KafkaSource, message: formats.Message) -> Source:
    options = kafka.kafka_options
    for what, value in (
        ("topic", options.topic),
        ("kafka_bootstrap_servers", options.kafka_bootstrap_servers),
    ):
        if not value:
            raise DefinitionError(f"it names no {what}: add it to the KafkaSource")
    if not kafka.timestamp_field:
        raise DefinitionError("it names no timestamp_field: the engine needs the time of each event")
    event_id = kafka.tags.get("event_id", "")
    for what, column in (("timestamp_field", kafka.timestamp_field), ("tag event_id", event_id)):
        if column and column not in message.columns:
            raise DefinitionError(
                f"{what} names column {column}, which its messages lack: the columns are {', '.join(message.columns)}"
            )
    held = message.columns[kafka.timestamp_field]
    if category(held) != "timestamp":
        raise DefinitionError(
            f"timestamp_field {kafka.timestamp_field} is {held}, not a timestamp: declare it TIMESTAMP "
            "(JSON Schema: a string of format date-time; Avro: timestamp-millis or timestamp-micros)"
        )
    if event_id and isinstance(message.columns[event_id], dict):
        raise DefinitionError(f"tag event_id names {event_id}, which is nested: name a plain column")
    watermark = options.watermark_delay_threshold
    return Source(
        name=kafka.name,
        topic=options.topic,
        bootstrap_servers=options.kafka_bootstrap_servers,
        format=message.format,
        schema=message.spark_json(),
        timestamp_field=kafka.timestamp_field,
        event_id=event_id,
        deduplicate=tags.flag(kafka.tags, "deduplicate", True),
        watermark_delay=(DEFAULT_WATERMARK if watermark is None else watermark) // timedelta(milliseconds=1),
        max_future_skew=skew(kafka),
        required=message.required,
        avro_schema=message.avro_schema,
    )
