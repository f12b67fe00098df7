"""The producer against a real broker, read back by a second client; and what it does in trouble."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from kafka import KafkaConsumer, TopicPartition
from kafka.partitioner.default import murmur2

from generators import Population, Scenario
from generators.contracts import STREAMS
from generators.delivery import KafkaSettings
from generators.hostile import Hostility, Saboteur
from generators.run import Producing, Run
from generators.simulate import Simulation
from generators.tally import Tally, report
from generators.workers import carry_out
from streaming.errors import ServiceError

START = 1_772_323_200_000
SMALL = Population(users=400, merchants=150, devices=200, providers=60)
HOSTILE = Hostility(late=0.03, duplicates=0.05, malformed=0.03)
ROOT = Path(__file__).parents[2]
Sent = list[tuple[bytes | None, bytes | None]]

MOCK = """
import signal, sys, threading
from confluent_kafka import Producer
cluster = Producer({"test.mock.num.brokers": 1, "log_level": 2})
(broker,) = cluster.list_topics(timeout=10).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def mock() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """librdkafka's own broker in a process that a test may stop and kill."""
    process = subprocess.Popen([sys.executable, "-c", MOCK], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip(), process
    process.kill()
    process.wait()


@pytest.fixture
def plain_topic(kafka: str, topic: Callable[..., str]) -> Callable[..., str]:
    """Topics whose batches the broker unpacks: kafka-python alone cannot read snappy."""
    admin = AdminClient({"bootstrap.servers": kafka})
    entry = ConfigEntry("compression.type", "uncompressed", incremental_operation=AlterConfigOpType.SET)

    def make(**options: object) -> str:
        name = topic(**options)
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(30)
        return name

    return make


def read_back(bootstrap: str, topic: str) -> dict[int, Sent]:
    """Everything in a topic by partition, read by kafka-python."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    found: dict[int, Sent] = {p.partition: [] for p in partitions}
    while any(consumer.position(p) < ends[p] for p in partitions):
        for partition, records in consumer.poll(timeout_ms=500).items():
            found[partition.partition] += [(r.key, r.value) for r in records]
    consumer.close()
    return found


def expected(scenario: Scenario, stream: str, end: int) -> Sent:
    """What a run sends of a stream, made in one piece."""
    simulation, saboteur = Simulation(scenario), Saboteur(scenario.seed, stream, HOSTILE)
    at = simulation.times(stream, START, 0, end) - saboteur.delay(np.arange(end))
    whole = zip(*saboteur.messages(simulation.events(stream, 0, at), end), strict=True)
    return [*whole, *zip(*saboteur.rest(), strict=True)]


def by_key(messages: Sent) -> dict[bytes, list[bytes | None]]:
    found = defaultdict(list)
    for key, value in messages:
        if key is not None:
            found[key].append(value)
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_every_message_arrives_once_and_in_the_order_of_its_key(
    processes: int, kafka: str, plain_topic: Callable[..., str]
) -> None:
    scenario = Scenario(seed=8, rate=100.0, population=SMALL)
    topics = {stream: plain_topic(partitions=3, name=stream) for stream in STREAMS}
    run = Run(
        KafkaSettings(kafka),
        scenario,
        throughput=None,
        events=6_000,
        start_time=START,
        hostility=HOSTILE,
        topics=topics,
    )
    tally = carry_out(run, processes)
    assert tally.acked == tally.sent == sum(tally.streams.values())
    assert tally.failed == 0
    for stream, count in (("transactions", 2_400), ("claims", 2_100), ("iot", 1_500)):
        partitions, wanted = read_back(kafka, topics[stream]), expected(scenario, stream, count)
        assert Counter(m for part in partitions.values() for m in part) == Counter(wanted)
        assert len(wanted) == tally.streams[stream]
        order = by_key(wanted)
        for number, part in partitions.items():
            for key, values in by_key(part).items():
                assert values == order[key]
                assert (murmur2(key) & 0x7FFFFFFF) % 3 == number, "other clients find the key here too"


def test_live_events_happen_when_they_are_sent(kafka: str, plain_topic: Callable[..., str]) -> None:
    name = plain_topic(partitions=2)
    scenario = Scenario(mix={"transactions": 1}, rate=2_000.0, population=SMALL)
    run = Run(
        KafkaSettings(kafka, acks="1"),
        scenario,
        throughput=2_000,
        duration=1.0,
        topics={"transactions": name},
    )
    before = time.time()
    tally = carry_out(run)
    after = time.time()
    assert 500 < tally.sent <= 2_100
    decoder = msgspec.json.Decoder(STREAMS["transactions"].contract)
    values = [value for part in read_back(kafka, name).values() for _, value in part]
    assert len(values) == tally.acked
    for value in values:
        assert before - 0.01 <= decoder.decode(value).timestamp.timestamp() <= after


def command(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "generators.producer", *map(str, arguments), "--users", "300", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_loses_nothing(
    number: signal.Signals, kafka: str, plain_topic: Callable[..., str]
) -> None:
    name = plain_topic(partitions=2)
    running = command(
        "--bootstrap", kafka, "--streams", "iot", "--topic", f"iot={name}", "--throughput", 3000
    )
    deadline = time.monotonic() + 30
    while not sum(map(len, read_back(kafka, name).values())):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    outcome = json.loads(out)
    assert running.returncode == 0, err
    assert outcome["sent"] == outcome["acked"] == sum(map(len, read_back(kafka, name).values()))
    assert outcome["delivery_success"] == 1.0
    assert outcome["ack_ms"]["p50"] <= outcome["ack_ms"]["p99"] <= outcome["ack_ms"]["max"]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_broker_that_is_away_is_one_line(processes: int) -> None:
    away = command("--bootstrap", "127.0.0.1:1", "--events", 10, "--processes", processes)
    out, err = away.communicate(timeout=60)
    assert away.returncode == 1
    assert out == ""
    assert err.count("\n") == 1
    assert "127.0.0.1:1" in err
    assert "tidemark services start" in err


def test_a_missing_topic_names_the_remedy(kafka: str) -> None:
    scenario = Scenario(mix={"iot": 1}, population=SMALL)
    run = Run(KafkaSettings(kafka), scenario, events=10, topics={"iot": "not-there"})
    with pytest.raises(ServiceError, match=r"not-there.*tidemark topics apply"):
        carry_out(run)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--streams", "claimz"], "claimz"),
        (["--mix", "claims=a lot"], "--mix"),
        (["--acks", "2"], "--acks"),
        (["--late", "0.9", "--malformed", "0.9"], "together at most 1"),
        (["--start-time", "yesterday"], "--start-time"),
        (["--fraud", "robbery=0.1"], "card_testing"),
        (["--topic", "iot"], "--topic"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from tidemark.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["produce", "--events", "1", *arguments])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert named in error


def test_a_broker_that_dies_leaves_an_account_and_a_failure(mock: tuple[str, subprocess.Popen[str]]) -> None:
    bootstrap, broker = mock
    arguments = (
        "--bootstrap",
        bootstrap,
        "--streams",
        "claims",
        "--throughput",
        2000,
        "--duration",
        4,
        "--timeout",
        1,
    )
    running = command(*arguments)
    time.sleep(4)
    broker.kill()
    out, err = running.communicate(timeout=60)
    outcome = json.loads(out)
    assert running.returncode == 1
    assert err.count("\n") == 1
    assert "were not delivered" in err
    assert 0 < outcome["acked"] < outcome["sent"]
    assert outcome["acked"] + outcome["failed"] == outcome["sent"] == sum(outcome["streams"].values())
    assert outcome["delivery_success"] < 1


def test_a_broker_that_stalls_holds_the_producer_back(mock: tuple[str, subprocess.Popen[str]]) -> None:
    bootstrap, broker = mock
    scenario = Scenario(mix={"iot": 1}, population=SMALL)
    producing = Producing(Run(KafkaSettings(bootstrap), scenario, throughput=None, events=80_000))
    most = 0

    def watch() -> None:
        nonlocal most
        time.sleep(2)
        most = producing.delivery.sent
        os.kill(broker.pid, signal.SIGCONT)

    os.kill(broker.pid, signal.SIGSTOP)
    watcher = threading.Thread(target=watch)
    watcher.start()
    *_, tally = producing.go()
    watcher.join()
    assert most <= 30_000, "what is on its way is bounded"
    assert tally.acked == tally.sent == 80_000
    assert tally.latency.longest > 0.5


def test_a_process_that_dies_is_told(mock: tuple[str, subprocess.Popen[str]]) -> None:
    run = Run(KafkaSettings(mock[0]), Scenario(population=SMALL), throughput=500, duration=30)
    killed: list[multiprocessing.process.BaseProcess] = []

    def kill(tally: Tally) -> None:
        if tally.acked and not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    with pytest.raises(ServiceError, match="died"):
        carry_out(run, 2, kill)
    assert not multiprocessing.active_children()


def test_a_run_can_be_asked_to_stop_from_a_thread(mock: tuple[str, subprocess.Popen[str]]) -> None:
    asked, tallies = threading.Event(), []
    run = Run(KafkaSettings(mock[0]), Scenario(population=SMALL), throughput=1_000)
    thread = threading.Thread(target=lambda: tallies.append(carry_out(run, asked=asked.is_set)))
    thread.start()
    time.sleep(1)
    asked.set()
    thread.join(20)
    assert report(tallies[0])["delivery_success"] == 1.0
    assert tallies[0].sent > 100


def test_settings_are_those_promised() -> None:
    safe, fast = KafkaSettings("b:1").client(), KafkaSettings("b:1", acks="1").client()
    assert safe["batch.size"] == 64 * 1024
    assert safe["linger.ms"] == 10
    assert safe["compression.type"] == "snappy"
    assert safe["queue.buffering.max.kbytes"] == 64 * 1024
    assert safe["max.in.flight"] == 5
    assert (safe["acks"], safe["enable.idempotence"]) == ("all", True)
    assert (fast["acks"], fast["enable.idempotence"]) == ("1", False)
