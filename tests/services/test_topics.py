"""Topics: declared once, created, grown and corrected on a real broker."""

import json
import uuid

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from streaming.errors import ServiceError, TidemarkError
from tidemark import broker
from tidemark.admin import admin
from tidemark.commands.topics import app
from tidemark.services.ports import free_port
from tidemark.settings import local_settings
from tidemark.topics import Declared, Topic, declared, sized

WEEK = {"retention.ms": "604800000", "message.timestamp.type": "LogAppendTime"}


@pytest.fixture
def name(kafka):
    """Name of a topic that the test makes and that goes with it."""
    name = f"declared-{uuid.uuid4().hex[:8]}"
    yield name
    client = admin(kafka)
    if name in client.list_topics(timeout=10).topics:
        client.delete_topics([name])[name].result(30)


def found(kafka: str, name: str) -> broker.Found:
    return next(t for t in broker.listed(kafka) if t.name == name)


def test_our_file_declares_the_platforms_topics():
    ours = declared(local_settings().conf_dir / "topics.yaml")
    sizes = {name: topic.partitions for name, topic in ours.topics.items()}
    assert sizes.items() >= {
        "insurance-claims": 12, "financial-transactions": 12, "iot-telemetry": 8,
        "risk-scores": 6, "alerts": 4,
    }.items()  # fmt: skip
    assert {"feature-updates", "dead-letter"} < sizes.keys()
    assert ours.config.items() >= WEEK.items()
    assert all(small <= sizes[name] for name, small in sized(ours, small=True).items())


def test_overrides_name_all_topics_or_one():
    file = Declared(topics={"a": Topic(12, small=4), "b": Topic(8)})
    assert sized(file) == {"a": 12, "b": 8}
    assert sized(file, small=True) == {"a": 4, "b": 8}
    assert sized(file, overrides=["b=3", "2"]) == {"a": 2, "b": 3}
    for wrong in ("0", "x", "b=", "b=-1"):
        with pytest.raises(TidemarkError, match="write N or topic=N"):
            sized(file, overrides=[wrong])
    with pytest.raises(TidemarkError, match="no such topic; there are a, b"):
        sized(file, overrides=["c=3"])


def test_created_once_with_brokers_time_and_a_week(kafka, name):
    file = Declared(topics={name: Topic(3)}, config=WEEK)
    assert [o.done for o in broker.apply(kafka, file, {name: 3})] == ["created"]
    assert found(kafka, name) == broker.Found(name, 3, 0, 604_800_000, "LogAppendTime")
    assert [(o.done, o.warning) for o in broker.apply(kafka, file, {name: 3})] == [("as declared", "")]


def test_growing_warns_that_keys_move_and_shrinking_that_it_cannot(kafka, name):
    file = Declared(topics={name: Topic(2)})
    broker.apply(kafka, file, {name: 2})
    (grown,) = broker.apply(kafka, file, {name: 5})
    assert grown.done == "grown from 2 to 5 partitions"
    assert "keys move to other partitions" in grown.warning
    assert found(kafka, name).partitions == 5
    (kept,) = broker.apply(kafka, file, {name: 1})
    assert (kept.partitions, kept.done) == (5, "as declared")
    assert "has 5 partitions and 1 were asked for" in kept.warning


def test_settings_that_differ_are_corrected_and_others_left(kafka, name):
    broker.apply(kafka, Declared(topics={name: Topic(1, config={"max.message.bytes": "5000"})}), {name: 1})
    (changed,) = broker.apply(
        kafka, Declared(topics={name: Topic(1)}, config={"retention.ms": "1000"}), {name: 1}
    )
    assert changed.done == "set retention.ms=1000"
    assert found(kafka, name).retention_ms == 1000
    (again,) = broker.apply(
        kafka, Declared(topics={name: Topic(1, config={"max.message.bytes": "5000"})}), {name: 1}
    )
    assert again.done == "as declared"


def test_a_setting_that_kafka_does_not_know_is_refused_by_name(kafka, name):
    with pytest.raises(ServiceError, match=r"retention\.msec"):
        broker.apply(kafka, Declared(topics={name: Topic(1)}, config={"retention.msec": "1"}), {name: 1})


def test_list_counts_the_events_that_are_kept(kafka, topic):
    made = topic(3)
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(25):
        producer.produce(made, key=str(n), value=b"x")
    assert producer.flush(10) == 0
    assert found(kafka, made).events == 25


def test_the_command_reads_a_file_and_lists_in_json(kafka, name, tmp_path):
    file = tmp_path / "topics.yaml"
    file.write_text(f"config: {{retention.ms: '1000'}}\ntopics:\n  {name}: {{partitions: 4, small: 2}}\n")
    run = CliRunner()
    done = run.invoke(app, ["apply", "--bootstrap", kafka, "--small", "--file", str(file)])
    assert done.stdout == f"{name}: 2 partitions, created\n"
    done = run.invoke(app, ["apply", "--bootstrap", kafka, "--partitions", f"{name}=3", "--file", str(file)])
    assert done.stdout == f"{name}: 3 partitions, grown from 2 to 3 partitions\n"
    assert done.stderr.startswith(f"warning: {name}: keys move")
    lines = [
        json.loads(line)
        for line in run.invoke(app, ["list", "--json", "--bootstrap", kafka]).stdout.splitlines()
    ]
    assert {
        "name": name,
        "partitions": 3,
        "events": 0,
        "retention_ms": 1000,
        "timestamps": "LogAppendTime",
    } in lines
    table = run.invoke(app, ["list", "--bootstrap", kafka]).stdout
    assert name in table


@pytest.mark.parametrize(
    "text", ["topics: [", "topics: {a: {partitions: many}}", "topics: {a: {partition: 3}}"]
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, text):
    file = tmp_path / "topics.yaml"
    file.write_text(text)
    with pytest.raises(TidemarkError, match=r"topics\.yaml"):
        declared(file)


def test_no_broker_names_the_remedy():
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(
        ServiceError, match=f"no broker answers at {nowhere}: start one with `tidemark services start`"
    ):
        broker.listed(nowhere)
