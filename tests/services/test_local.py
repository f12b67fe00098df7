"""Broker and Redis together, through the API and through the command."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from streaming.errors import ServiceError
from tidemark.admin import admin
from tidemark.services import LocalServices
from tidemark.services.ports import free_port

COMMAND = Path(sys.executable).with_name("tidemark")


def tidemark(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [COMMAND, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


def processes_of(directory: Path) -> list[psutil.Process]:
    return [
        p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] and p.info["cwd"].startswith(f"{directory}/")
    ]


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "compression.type": "snappy"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    got = consumer.consume(count, timeout=20)
    consumer.close()
    return [message.value() for message in got]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("local")
    (directory / "kafka" / "data").mkdir(parents=True)  # as a start leaves it that was cut short
    yield directory
    LocalServices(directory).stop()
    assert processes_of(directory) == []


@pytest.fixture
def local(directory):
    """Services that run; a test may stop or kill them, the next one starts them again."""
    services = LocalServices(directory)
    services.start()
    return services


def test_start_says_where_and_is_idempotent_and_stop_leaves_no_process(directory):
    first = json.loads(tidemark("services", "start", "--dir", directory, *free(), "--json").stdout)
    assert sorted(first) == ["dir", "kafka", "redis"]
    assert first["dir"] == str(directory)
    again = tidemark("services", "start", "--dir", directory)
    assert again.stdout.startswith("already running\n")
    assert first["kafka"] in again.stdout
    assert first["redis"] in again.stdout

    state = json.loads(tidemark("services", "status", "--dir", directory, "--json").stdout)
    assert {k: state[k] for k in first} == first
    assert state["running"] is True
    assert {p.pid for p in processes_of(directory)} == set(state["pids"].values())

    tidemark("services", "stop", "--dir", directory)
    assert processes_of(directory) == []
    assert "nothing runs" in tidemark("services", "stop", "--dir", directory).stdout
    stopped = json.loads(tidemark("services", "status", "--dir", directory, "--json", code=3).stdout)
    assert (stopped["running"], stopped["kafka"], stopped["redis"]) == (False, None, None)


def free() -> tuple[str, ...]:
    return "--kafka-port", "0", "--redis-port", "0"


def test_a_killed_broker_keeps_what_it_acknowledged(local):
    before = local.start()
    client = admin(before.kafka)
    client.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])["kept"].result(20)
    values = [b"value %d" % n for n in range(500)]
    produce(before.kafka, "kept", values)
    heard = []
    local.kafka.kill()
    assert [s.answers for s in local.status()] == [False, True]

    local.kafka.say = heard.append
    after = local.start()
    assert after == before
    assert len(heard) == 1
    assert "of the last time is gone; starting again on its data" in heard[0]
    produce(after.kafka, "kept", [b"more"])
    assert consume(after.kafka, "kept", 501) == [*values, b"more"]


def test_topics_are_not_made_by_a_typing_error(local):
    endpoints = local.start()
    failures = []
    producer = Producer({"bootstrap.servers": endpoints.kafka, "message.timeout.ms": 2000})
    producer.produce("insurance-claim", b"x", on_delivery=lambda error, _: failures.append(error))
    producer.flush(10)
    assert failures[0] is not None
    assert "insurance-claim" not in admin(endpoints.kafka).list_topics(timeout=10).topics


def test_two_starts_at_once_share_one_pair_of_services(directory, local):
    local.stop()
    command = [COMMAND, "services", "start", "--dir", directory, "--json"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    said = [process.communicate(timeout=90) for process in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert "another start or stop is at work in" in said[0][1] + said[1][1]
    assert len(processes_of(directory)) == 2


def test_a_start_killed_midway_is_mended_by_the_next(directory, local):
    local.stop()
    command = [COMMAND, "services", "start", "--dir", directory, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as start:
        deadline = time.monotonic() + 60
        while not any(p.name() == "java" for p in processes_of(directory)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        start.send_signal(signal.SIGKILL)
        assert start.stdout is not None
        assert start.stdout.read() == ""
    tidemark("services", "start", "--dir", directory, "--json")
    assert len(processes_of(directory)) == 2


def test_a_broker_that_cannot_start_shows_its_log_and_takes_redis_down_again(tmp_path, local):
    local.stop()
    copy = tmp_path / "copy"
    shutil.copytree(local.dir, copy)
    meta = copy / "kafka" / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    said = tidemark("services", "start", "--dir", copy, *free(), code=1).stderr
    assert "kafka died while starting" in said
    assert "Stored node id 7 doesn't match" in said
    assert str(copy / "kafka" / "kafka.log") in said
    assert len(said.strip().splitlines()) == 1
    assert processes_of(copy) == []


def test_a_taken_port_is_one_line_and_starts_nothing(tmp_path):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        said = tidemark(
            "services", "start", "--dir", tmp_path, "--kafka-port", port, "--redis-port", 0, code=1
        ).stderr
    assert said.startswith(f"kafka: port {port} is taken by ")
    assert f"(pid {os.getpid()}); choose another with --kafka-port" in said
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("kind", ["foreign", "file", "half-formatted"])
def test_a_leftover_directory_is_refused_with_the_way_out(tmp_path, kind):
    target = tmp_path / "left"
    if kind == "file":
        target.write_text("")
        wanted = "is a file: choose another --dir"
    elif kind == "foreign":
        target.mkdir()
        (target / "thesis.tex").write_text("")
        wanted = "holds thesis.tex, which no services start wrote: choose an empty --dir"
    else:
        (target / "kafka" / "data" / "alerts-0").mkdir(parents=True)
        wanted = "holds files but no meta.properties.*move it away or choose another --dir"
    services = LocalServices(target)
    with pytest.raises(ServiceError, match=wanted):
        services.start()
    assert processes_of(target) == []
