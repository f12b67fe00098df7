"""InfluxDB: every row a point, at a time of its own, so that writing it again changes nothing."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import MapType, StringType, TimestampType

from streaming.errors import DefinitionError, ServiceError
from streaming.sinks.contract import SinkAway, SinkRefused, Table, Writer
from streaming.sinks.remote import chosen, send

try:
    from influxdb_client import InfluxDBClient, Point, WritePrecision
    from influxdb_client.client.write_api import SYNCHRONOUS
    from influxdb_client.rest import ApiException
except ImportError as missing:
    raise ServiceError("InfluxDB needs its client: pip install 'tidemark[sinks]'") from missing

KNOWN = {"org", "tables", "tags", "time", "version"}
TIME = "_time_ns"
OWN = ("_topic", "_offset", "_arrived", "_created", "event_date", "date")
"""Columns of the history that are no measurement."""


class InfluxSettings(BaseSettings):
    """`token` is read from INFLUXDB_V2_TOKEN, as by InfluxDB's own programs; for version 1 it is user:password."""

    model_config = SettingsConfigDict(env_prefix="INFLUXDB_V2_", extra="ignore")

    token: SecretStr = SecretStr("")


@dataclass(frozen=True)
class Influx:
    """A bucket: `influxdb://HOST:PORT/BUCKET?org=ORG&tags=device_type&tables=events/iot*`.

    `tags` are columns by which points are found; the others are fields. `time` is the column of a point's time (the
    first timestamp of the table, without it). `version=1` writes as InfluxDB 1 takes it; the bucket is its database.
    """

    url: str
    bucket: str
    org: str = ""
    tables: tuple[str, ...] = ("events/iot*",)
    tags: tuple[str, ...] = ()
    time: str = ""
    version: str = "2"
    token: SecretStr = field(default_factory=lambda: SecretStr(""))

    @classmethod
    def of(cls, uri: str) -> Influx:
        """The bucket that a URI names. Raises DefinitionError for what it cannot mean."""
        parts = urlsplit(uri)
        given = dict(parse_qsl(parts.query))
        bucket = parts.path.strip("/")
        if (
            not parts.hostname
            or not bucket
            or given.keys() - KNOWN
            or given.get("version", "2") not in ("1", "2")
        ):
            raise DefinitionError(
                f"{uri.split('?')[0]}: write influxdb://HOST:PORT/BUCKET with any of {', '.join(sorted(KNOWN))}"
            )
        scheme = "https" if parts.scheme.endswith("https") else "http"
        given = {"org": "", "tags": "", "time": "", "version": "2", "tables": ",".join(cls.tables)} | given
        return cls(
            f"{scheme}://{parts.hostname}:{parts.port or 8086}",
            bucket,
            given["org"],
            tuple(given["tables"].split(",")),
            tuple(filter(None, given["tags"].split(","))),
            given["time"],
            given["version"],
            InfluxSettings.model_validate({}).token,
        )

    @property
    def name(self) -> str:
        return f"influxdb:{self.url}/{self.bucket}"

    def takes(self, table: str) -> bool:
        """Whether rows of a table go there."""
        return chosen(self.tables, table)

    def sink(self, table: Table, writer: Writer) -> InfluxSink:
        return InfluxSink(self, table)


@dataclass(frozen=True)
class InfluxSink:
    """One table, in a measurement of its last name."""

    influx: Influx
    table: Table

    def write(self, batch: DataFrame, batch_id: int) -> None:
        """See `streaming.sinks.contract.Sink`, but that points become visible one by one."""
        times = [f.name for f in batch.schema.fields if isinstance(f.dataType, TimestampType)]
        time = self.influx.time or (times[0] if times else "")
        if time not in times or set(self.influx.tags) - set(batch.columns):
            raise SinkRefused(
                f"{self.table.name} has no timestamp {time!r}, or not all of {', '.join(self.influx.tags)}: correct time= and "
                f"tags= of {self.influx.name}"
            )
        # Two events of a microsecond are told apart by the nanoseconds, which no event has.
        within = F.col("_offset") % 1000 if "_offset" in batch.columns else F.lit(0)
        stamp = (F.unix_micros(F.col(f"`{time}`")) * 1000 + within).alias(TIME)
        strings = {f.name for f in batch.schema.fields if isinstance(f.dataType, StringType)}
        keys = tuple(name for name in self.table.key if name in strings and name not in OWN)
        tags = tuple(
            dict.fromkeys(
                [*keys, *self.influx.tags, *(["_partition"] if "_partition" in batch.columns else [])]
            )
        )
        kept = [f for f in batch.schema.fields if f.name not in (*OWN, time)]
        columns = [
            F.map_entries(F.col(f"`{f.name}`")).alias(f.name)
            if isinstance(f.dataType, MapType)
            else F.col(f"`{f.name}`")
            for f in kept
        ]
        measurement = self.table.name.rpartition("/")[2]
        send(batch.select(stamp, *columns), self.influx.name, Points(self.influx, measurement, tags))


@dataclass(frozen=True)
class Points:
    """Sends rows as points of a measurement; `tags` are its tag columns."""

    influx: Influx
    measurement: str
    tags: tuple[str, ...]

    def __call__(self, rows: list[dict[str, Any]]) -> None:
        lines = "\n".join(line for row in rows if (line := self.line(row)))
        if not lines:
            return
        try:
            _write(self.influx, lines)
        except ApiException as error:
            passing = not error.status or error.status in (408, 429) or error.status >= 500
            raise (SinkAway if passing else SinkRefused)(
                _said(self.influx, f"{error.status} {error.body}")
            ) from error
        except Exception as error:
            # urllib3's errors of a server that does not answer.
            raise SinkAway(_said(self.influx, error)) from error

    def line(self, row: dict[str, Any]) -> str:
        """The row in line protocol; empty when it has no field."""
        point = Point(self.measurement).time(row.pop(TIME), WritePrecision.NS)
        for name, value in row.items():
            if name in self.tags:
                point.tag(name, value)
            elif isinstance(value, list):
                for entry in value:
                    if isinstance(entry, dict) and _field(entry.get("value")):
                        point.field(f"{name}_{entry['key']}", entry["value"])
            elif _field(value):
                point.field(name, value)
        return point.to_line_protocol()


def _field(value: Any) -> bool:
    """Whether a value can be a field: a text, a number that is finite, or a boolean."""
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


@lru_cache(maxsize=4)
def _client(influx: Influx) -> InfluxDBClient:
    return InfluxDBClient(influx.url, token=influx.token.get_secret_value(), org=influx.org, timeout=30_000)


def _write(influx: Influx, lines: str) -> None:
    client = _client(influx)
    if influx.version == "2":
        client.write_api(write_options=SYNCHRONOUS).write(
            influx.bucket,
            influx.org,
            lines,
            write_precision=WritePrecision.NS,  # type: ignore[arg-type]
        )
        return
    # The same client, by the path that version 1 has.
    client.api_client.call_api(
        "/write",
        "POST",
        query_params=[("db", influx.bucket), ("precision", "ns")],
        header_params={
            "Content-Type": "text/plain",
            "Authorization": f"Token {influx.token.get_secret_value()}",
        },
        body=lines,
        _return_http_data_only=True,
    )


def _said(influx: Influx, why: object) -> str:
    # The line itself is not for a log.
    plain = re.sub(r"unable to parse .*", "unable to parse a line", " ".join(str(why).split()))
    return f"{influx.name} did not take the batch ({plain[:300]}): see its log"
