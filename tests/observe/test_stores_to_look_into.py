"""Rows as points in a real InfluxDB, and as documents in a stand-in for Elasticsearch."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from influx_server import MISSING, Server, influx
from pyspark.sql import DataFrame, SparkSession
from search_stand_in import StandIn, search

from streaming.errors import DefinitionError
from streaming.sinks import SinkAway, SinkRefused, Table, Writer, destination, takes

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
SCHEMA = (
    "reading_id string, at timestamp, device string, kind string, value double, ok boolean, hours bigint, "
    "sensors map<string, double>, serviced timestamp, _topic string, _partition int, _offset bigint, event_date date"
)
WRITER = Writer("export.readings", 7)


def readings(spark: SparkSession) -> DataFrame:
    """Two of one microsecond, one with values that no store takes, one whose text wants escaping."""
    day, old = date(2026, 3, 1), datetime(2020, 1, 1, tzinfo=UTC)
    rows = [
        ("a", NOON, "d1", "power", 1.5, True, 3, {"volt": 230.0, "amp": None}, old, "iot", 0, 10, day),
        ("b", NOON, "d1", "power", 2.5, False, 4, {"volt": math.nan}, old, "iot", 0, 11, day),
        ("c", NOON, "d 2", 'power, "in"=x', math.inf, None, None, None, None, "iot", 1, 10, day),
    ]
    return spark.createDataFrame(rows, SCHEMA)


def table(frame: DataFrame, name: str = "events/iot_stream") -> Table:
    return Table(name, frame.schema, ("_topic", "_partition", "_offset"), "event_date")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    if not shutil.which("influxd"):
        pytest.skip(MISSING)
    with influx(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture
def elastic() -> Iterator[StandIn]:
    with search() as running:
        yield running


def test_influx_has_every_reading_once_however_often_it_is_written(
    server: Server, spark: SparkSession
) -> None:
    frame = readings(spark)
    where = destination(
        f"influxdb://127.0.0.1:{server.port}/telemetry?version=1&tags=device,kind&tables=events/iot*"
    )
    for batch in (0, 0, 1):
        where.sink(table(frame), WRITER).write(frame, batch)
    rows = server.ask('SELECT * FROM "iot_stream"', db="telemetry")
    nanos = int(NOON.timestamp()) * 10**9 + 123_456_000
    found = sorted((r["time"] - nanos, r["device"], r["value"]) for r in rows)
    assert found == [(10, "d 2", None), (10, "d1", 1.5), (11, "d1", 2.5)]
    by_id = {r["reading_id"]: r for r in rows}
    assert by_id["a"]["sensors_volt"] == 230
    assert by_id["a"]["hours"] == 3
    assert by_id["b"]["ok"] is False
    assert by_id["b"]["sensors_volt"] is None
    assert by_id["c"]["value"] is None
    assert by_id["c"]["kind"] == 'power, "in"=x'


def test_what_influx_refuses_and_what_is_away_are_told_apart(server: Server, spark: SparkSession) -> None:
    frame = readings(spark)
    sink = destination(f"influxdb://127.0.0.1:{server.port}/nowhere?version=1").sink(table(frame), WRITER)
    with pytest.raises(SinkRefused, match="404"):
        sink.write(frame, 0)
    sink = destination("influxdb://127.0.0.1:9/telemetry?version=1").sink(table(frame), WRITER)
    with pytest.raises(SinkAway, match="did not take"):
        sink.write(frame, 0)
    sink = destination(f"influxdb://127.0.0.1:{server.port}/telemetry?time=kind").sink(table(frame), WRITER)
    with pytest.raises(SinkRefused, match="no timestamp 'kind'"):
        sink.write(frame, 0)


def test_version_two_is_written_to_its_bucket(spark: SparkSession, monkeypatch) -> None:
    seen: list[tuple[str, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append((self.path, self.headers["Authorization"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    web = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=web.serve_forever, daemon=True).start()
    monkeypatch.setenv("INFLUXDB_V2_TOKEN", "hush")
    frame = readings(spark).coalesce(1)
    where = destination(f"influxdb://127.0.0.1:{web.server_address[1]}/telemetry?org=acme&tags=device")
    where.sink(table(frame), WRITER).write(frame, 0)
    web.shutdown()
    ((path, token, body),) = seen
    assert path == "/api/v2/write?org=acme&bucket=telemetry&precision=ns"
    assert token == "Token hush"
    assert len(body.splitlines()) == 3
    assert "hush" not in repr(where)


def test_every_event_is_found_in_search_once(elastic: StandIn, spark: SparkSession, monkeypatch) -> None:
    monkeypatch.setenv("TIDEMARK_ELASTICSEARCH_API_KEY", "hush")
    frame = readings(spark)
    where = destination(f"elasticsearch://{elastic.url}?prefix=shop-")
    for batch in (0, 0):
        where.sink(table(frame), WRITER).write(frame, batch)
    (index,) = elastic.indices
    assert index == "shop-events-iot_stream"
    assert elastic.indices[index].keys() == {"iot/0/10", "iot/0/11", "iot/1/10"}
    found = elastic.indices[index]["iot/0/10"]
    assert found["at"] == "2026-03-01T12:00:00.123Z"
    assert found["sensors"]["volt"] == 230
    assert "value" not in elastic.indices[index]["iot/1/10"], "what is not finite is left out"
    assert elastic.keys == {"ApiKey hush"}
    assert "hush" not in repr(where)


def test_alerts_are_found_by_what_is_in_them(elastic: StandIn, spark: SparkSession) -> None:
    rows = [
        ("u1", json.dumps({"alert_id": "x", "risk": {"score": 0.9}}), "alerts", 0, 0, NOON, NOON.date()),
        ("u1", "no json", "alerts", 0, 1, NOON, NOON.date()),
        ("u1", '{"broken', "alerts", 0, 2, NOON, NOON.date()),
        ("u1", None, "alerts", 0, 3, NOON, NOON.date()),
    ]
    columns = "key string, value string, _topic string, _partition int, _offset bigint, _arrived timestamp, date date"
    frame = spark.createDataFrame(rows, columns)
    destination(f"elasticsearch://{elastic.url}").sink(table(frame, "topics/alerts"), WRITER).write(frame, 0)
    held = elastic.indices["tidemark-topics-alerts"]
    assert held["alerts/0/0"]["value"] == {"alert_id": "x", "risk": {"score": 0.9}}
    assert held["alerts/0/1"]["value"] == "no json"
    assert held["alerts/0/2"]["value"] == '{"broken'
    assert "value" not in held["alerts/0/3"]


def test_what_search_refuses_and_what_is_away_are_told_apart(elastic: StandIn, spark: SparkSession) -> None:
    frame = readings(spark)
    sink = destination(f"elasticsearch://{elastic.url}").sink(table(frame), WRITER)
    elastic.fail = 503
    with pytest.raises(SinkAway, match="503"):
        sink.write(frame, 0)
    elastic.fail, elastic.refuse = 0, "d 2"
    with pytest.raises(SinkRefused, match=r"failed to parse field \[amount\]"):
        sink.write(frame, 0)
    elastic.fail = 401
    with pytest.raises(SinkRefused, match="401"):
        sink.write(frame, 0)
    with pytest.raises(SinkAway):
        destination("elasticsearch://127.0.0.1:9").sink(table(frame), WRITER).write(frame, 0)


def test_a_destination_chooses_its_tables() -> None:
    search_all, telemetry = destination("elasticsearch://h:1"), destination("influxdb://h:1/b")
    assert [takes(search_all, t) for t in ("events/x", "topics/alerts", "windows/v/1h_1h")] == [
        True,
        True,
        False,
    ]
    assert [takes(telemetry, t) for t in ("events/iot_stream", "events/claims_stream")] == [True, False]
    assert takes(destination("parquet:/tmp/x"), "anything")


@pytest.mark.parametrize(
    "uri", ["elasticsearch:///", "elasticsearch://h?colour=red", "influxdb://h", "influxdb://h/b?version=3"]
)
def test_an_address_that_cannot_be_meant_is_refused(uri: str) -> None:
    with pytest.raises(DefinitionError, match=r"write (elasticsearch|influxdb)://"):
        destination(uri)
