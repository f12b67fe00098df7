"""Everything of ours against a real broker that asks for encryption and a password, or for a certificate."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from confluent_kafka import Consumer, Producer, TopicPartition
from secure_broker import USER, WORD, SecureBroker

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from lane_world import World, iso

from generators.delivery import Delivery, KafkaSettings
from streaming import kafka
from streaming.archive import arrivals
from streaming.errors import ServiceError, TidemarkError
from streaming.kafka import KafkaSecurity, Security
from streaming.lanes import topics as lane_topics
from tidemark import broker
from tidemark.topics import Declared, Topic

PREFIX = "TIDEMARK_KAFKA_"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory, authority: Authority) -> Iterator[SecureBroker]:
    running = SecureBroker(tmp_path_factory.mktemp("secure-broker"), authority)
    running.address = running.start(60).address
    yield running
    running.stop(20)


@pytest.fixture
def settings(monkeypatch) -> Iterator:
    """Sets TIDEMARK_KAFKA_* for one test."""

    def use(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(PREFIX + name.upper(), str(value))
        kafka.security.cache_clear()

    yield use
    kafka.security.cache_clear()


@pytest.fixture
def login(settings, secure: SecureBroker, authority: Authority, tmp_path: Path) -> str:
    word = tmp_path / "password"
    word.write_text(WORD + "\n")
    settings(security_protocol="SASL_SSL", username=USER, password_file=word, ca=authority.ca)
    return secure.address


def make(address: str, *names: str) -> None:
    broker.apply(address, Declared({name: Topic(2) for name in names}), dict.fromkeys(names, 2))


def test_the_online_lane_reads_and_writes_with_a_password(
    login: str, tmp_path: Path, redis_server: str, spark
) -> None:
    def topic(partitions: int = 1, name: str = "events") -> str:
        fresh = f"{name}-{uuid.uuid4().hex[:8]}"
        broker.apply(login, Declared({fresh: Topic(partitions)}), {fresh: partitions})
        return fresh

    world = World.make(tmp_path / f"safe_{uuid.uuid4().hex[:8]}", login, redis_server, topic)
    now = int(time.time() * 1000)
    producer = Producer(kafka.client(login))
    for n in range(20):
        event = {"user_id": "user 1", "event_time": iso(now - n * 1000), "seconds": 1.0}
        producer.produce(world.given["visits"], json.dumps(event).encode() if n else b"broken")
    assert producer.flush(30) == 0
    (line,) = world.run(spark, views=["user_visits"])
    assert line["views"]["user_visits"]["used"] == 19
    assert held(login, world.updates) == 1
    assert held(login, world.dead) == 1
    world.now = now
    read = (
        world.store().get_online_features(["user_visits:all_count_600_30"], [{"user_id": "user 1"}]).to_dict()
    )
    assert read["all_count_600_30"] == [19]


def held(address: str, topic: str) -> int:
    """How many messages a topic has, as a consumer of ours counts."""
    consumer = Consumer(kafka.client(address, {"group.id": "test"}))
    try:
        parts = consumer.list_topics(topic, 15).topics[topic].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=15)[1] for p in parts)
    finally:
        consumer.close()


def test_the_producer_and_the_history_lanes_reader_with_a_certificate(
    settings, secure, authority, spark
) -> None:
    mine = authority.sign("history")
    settings(security_protocol="SSL", ca=authority.ca, certificate=mine.certificate, key=mine.key)
    make(secure.mtls, "sealed")
    delivery = Delivery(KafkaSettings(secure.mtls), ["sealed"])
    delivery.send("sealed", [b"a", b"b"], [b"1", b"2"])
    delivery.close()
    assert (delivery.acked, delivery.failed) == (2, 0)
    lane_topics.require(secure.mtls, ["sealed"])
    rows = arrivals.kafka(spark, secure.mtls, ["sealed"], "earliest", 100)
    running = rows.writeStream.format("memory").queryName("sealed").trigger(availableNow=True).start()
    running.awaitTermination()
    assert sorted(bytes(row.value) for row in spark.table("sealed").collect()) == [b"1", b"2"]


def test_whoever_has_no_password_no_certificate_or_another_authority_is_refused(
    settings, secure, authority, tmp_path
):
    other = Authority(tmp_path, "other")
    wrong = {
        "plain text": (secure.address, Security()),
        "wrong password": (
            secure.address,
            Security("SASL_SSL", "SCRAM-SHA-512", USER, "x", authority.ca.read_text()),
        ),
        "another authority": (
            secure.address,
            Security("SASL_SSL", "SCRAM-SHA-512", USER, WORD, other.ca.read_text()),
        ),
        "no certificate": (secure.mtls, Security("SSL", ca=authority.ca.read_text())),
    }
    outcomes: dict[str, list] = {what: [] for what in wrong}
    producers = []
    for what, (address, held_by) in wrong.items():
        impatient = {"message.timeout.ms": 1500, "log_level": 0}
        producers.append(Producer(kafka.client(address, impatient, held_by)))
        producers[-1].produce(
            "sealed", b"x", on_delivery=lambda error, _, seen=outcomes[what]: seen.append(error)
        )
    for producer in producers:
        producer.flush(10)
    assert all(len(seen) == 1 and seen[0] is not None for seen in outcomes.values()), outcomes
    settings(security_protocol="SASL_SSL", username=USER, password="x", ca=authority.ca)
    with pytest.raises(ServiceError, match="no broker answers"):
        broker.listed(secure.address)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"security_protocol": "SASL_SSL"}, "SASL needs TIDEMARK_KAFKA_USERNAME"),
        ({"security_protocol": "TLS"}, "TIDEMARK_KAFKA_SECURITY_PROTOCOL"),
        ({"security_protocol": "SSL", "key": "/nowhere"}, "needs both TIDEMARK_KAFKA_CERTIFICATE"),
        ({"security_protocol": "SSL", "ca": "/nowhere"}, "/nowhere cannot be read"),
    ],
)
def test_wrong_settings_are_one_line_that_names_the_variable(settings, values, said) -> None:
    settings(**values)
    with pytest.raises(TidemarkError, match=said):
        kafka.security()


def test_a_key_that_java_cannot_read_is_refused_with_the_command_that_mends_it(
    settings, authority, tmp_path
) -> None:
    old = tmp_path / "old.key"
    old.write_text("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n")
    settings(security_protocol="SSL", certificate=authority.sign("x").certificate, key=old)
    with pytest.raises(TidemarkError, match="openssl pkcs8 -topk8"):
        kafka.security()


def test_nothing_secret_is_shown(settings, spark, tmp_path) -> None:
    (tmp_path / "shown").write_text("certificate")
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----")
    given = KafkaSecurity(
        security_protocol="SASL_SSL",
        username=USER,
        password=WORD,
        certificate=tmp_path / "shown",
        key=tmp_path / "key",
    )
    held_by = given.security()
    assert WORD not in repr(given) + repr(held_by)
    assert "hidden" not in repr(held_by)
    assert spark.conf.get("spark.redaction.regex") == kafka.REDACTION
    secret = [
        name
        for name, value in held_by.spark().items()
        if WORD[:4] in value or ("hidden" in value and "key" in name)
    ]
    assert secret
    assert all(re.search(kafka.REDACTION, name) for name in secret)
