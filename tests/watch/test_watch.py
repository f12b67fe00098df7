"""tidemark watch: metrics of real endpoints, alerts of a real topic, and what is made of them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from redis_server import free_port, wait_for
from rich.console import Console
from typer.testing import CliRunner

from tidemark.cli import app
from tidemark.watch.alerts import Alerts
from tidemark.watch.scrape import Between, Look, look
from tidemark.watch.screen import Past, screen
from tidemark.watch.settings import WatchSettings


class Process:
    """Metrics of a process, answered as a lane answers them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        held = {"registry": self.registry}
        self.events = Counter("tidemark_events_total", "", ["view", "outcome"], **held)
        self.lag = Gauge("tidemark_lag_messages", "", **held)
        self.fresh = Gauge("tidemark_freshness_seconds", "", ["view"], **held)
        self.lost = Counter("tidemark_unaccounted_total", "", ["view"], **held)
        self.seconds = Histogram(
            "tidemark_batch_seconds", "", ["stage"], buckets=[0.1, 0.2, 0.5, 1, 2, 5], **held
        )
        self.server, _ = start_http_server(0, "127.0.0.1", self.registry)
        self.address = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def lane():
    process = Process()
    yield process
    process.server.shutdown()


def test_rates_and_quantiles_between_two_looks(lane):
    other = Process()
    addresses = WatchSettings(watch=f"{lane.address}, http://{other.address}").addresses
    for process, count in ((lane, 100), (other, 50)):
        process.events.labels("user_claims", "used").inc(count)
        process.seconds.labels("spark triggerExecution").observe(4.0)
    before = look(addresses, at=10.0)
    lane.events.labels("user_claims", "used").inc(30)
    other.events.labels("user_claims", "late").inc(5)
    rng = random.Random(1)
    taken = [rng.uniform(0.1, 0.9) for _ in range(2_000)]
    for value in taken:
        lane.seconds.labels("spark triggerExecution").observe(value)
    lane.fresh.labels("user_claims").set(1.5)
    other.fresh.labels("user_claims").set(2.5)
    now = look(addresses, at=12.0)
    both = Between(before, now)
    assert both.rate("tidemark_events_total", outcome="used") == 15
    assert both.rate("tidemark_events_total") == 17.5
    assert now.highest("tidemark_freshness_seconds", view="user_claims") == 2.5
    for q in (0.2, 0.5):
        found = both.quantile("tidemark_batch_seconds", q)
        assert found == pytest.approx(float(np.quantile(taken, q)), abs=0.02)
    assert Between(now, now).quantile("tidemark_batch_seconds", 0.5) is None
    other.server.shutdown()


def test_a_counter_that_began_anew_has_no_negative_rate():
    key = ("tidemark_scored_total", (), "here")
    assert Between(Look(0.0, {key: 10.0}), Look(1.0, {key: 3.0})).rate("tidemark_scored_total") == 3


def shown(*arguments) -> str:
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(screen(*arguments))
    return console.export_text()


def test_the_screen_names_what_is_wrong(lane):
    lane.events.labels("user_claims", "used").inc(5)
    lane.lost.labels("user_claims").inc(2)
    gone = f"http://127.0.0.1:{free_port()}/metrics"
    addresses = (*WatchSettings(watch=lane.address).addresses, gone)
    looks = Between(look(addresses, 0.0), look(addresses, 1.0))
    alert = {
        "entity_id": "CUST1",
        "risk_score": 0.93,
        "alert_level": "critical",
        "event_type": "iot_telemetry",
    }
    text = shown(looks, [{**alert, "timestamp": "2026-01-01T10:20:30Z"}, {}], "", Past())
    assert f"{gone} does not answer" in text
    assert "user_claims" in text
    assert "10:20:30  0.930  CUST1   iot telemetry" in text
    assert [
        line.split()[-1] for line in text.splitlines() if " unaccounted" in line or line.startswith("unacc")
    ] == ["2"]
    assert "Kafka is away" in shown(looks, [], "Kafka is away", Past())


def test_bars_are_as_high_as_their_values():
    past = Past(4)
    assert [past.add("x", v) for v in (0, 7, 3.5, 0, 1)][-1] == "█▅▁▂"


def test_alerts_of_a_topic_and_the_command(lane, kafka, topic):
    name = topic(2, "alerts")
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(60):
        producer.produce(name, json.dumps({"entity_id": f"E{i}", "risk_score": 0.9}).encode(), partition=0)
    producer.flush(20)
    with Alerts(kafka, name) as alerts:
        wait_for(lambda: alerts.seen == 50)
        producer.produce(name, b"{broken", partition=1)
        producer.produce(name, json.dumps({"entity_id": "new"}).encode(), partition=0)
        producer.flush(20)
        wait_for(lambda: {a["entity_id"] for a in alerts.last(2)} == {"unreadable alert", "new"})
        assert alerts.trouble == ""
    arguments = ["--metrics", lane.address, "--kafka", kafka, "--looks", "2", "--interval", "0.05"]
    done = CliRunner().invoke(app, ["watch", *arguments])
    assert done.exit_code == 0, done.output
    assert "events used" in done.output


def test_a_topic_that_is_not_there_is_said(kafka):
    with Alerts(kafka, "no-such-topic") as alerts:
        wait_for(lambda: "Kafka at" in alerts.trouble)
