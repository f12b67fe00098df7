"""The three event streams. Their message schemas come from the generators' contracts."""

import copy
import json
from datetime import timedelta
from pathlib import Path

from feast import FileSource, KafkaSource
from feast.data_format import JsonFormat
from pydantic_settings import BaseSettings, SettingsConfigDict

from generators.contracts import STREAMS
from generators.schema import json_schema


class Kafka(BaseSettings):
    """Where the events are; `bootstrap` is read from TIDEMARK_BOOTSTRAP when `feast apply` runs."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    bootstrap: str = "localhost:9092"


class History(BaseSettings):
    """Where past features are; `history` is read from TIDEMARK_HISTORY, a folder (beside this repo's) or a URI."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    history: str = "var/history"

    def path(self, view):
        place = self.history.rstrip("/")
        if "://" not in place:
            place = str((Path(__file__).parent.parent / place).resolve())
        return f"{place}/features/{view}"


def _stream(name, **tags):
    stream = STREAMS[name]
    return KafkaSource(
        name=f"{name}_stream",
        kafka_bootstrap_servers=Kafka().bootstrap,
        topic=stream.topic,
        timestamp_field="timestamp",
        message_format=JsonFormat(schema_json=json.dumps(json_schema(name))),
        watermark_delay_threshold=timedelta(minutes=2),
        tags={"event_id": stream.event_id, "partition_key": stream.key, **tags},
        batch_source=FileSource(
            name=f"{name}_history",
            path=f"data/{name}.parquet",
            timestamp_field="timestamp",
            description=f"Past events of {stream.topic}",
        ),
    )


def of(stream, view):
    """A stream as the source of one view: its batch source is what `tidemark backfill` writes of that view."""
    source = copy.copy(stream)
    source.name = f"{view}_stream"
    source.tags = {**stream.tags, "stream": stream.name}
    source.batch_source = FileSource(
        name=f"{view}_features",
        path=History().path(view),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        description=f"Features of {view} as of each event",
    )
    return source


claims = _stream("claims", session_amount="claim_amount")
transactions = _stream("transactions", session_amount="amount", session_distinct="merchant_id")
iot = _stream("iot")
