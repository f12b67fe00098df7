"""Fixtures of every test: a real broker, a real Redis and one Spark for the session."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import structlog
from confluent_kafka.admin import NewTopic
from hypothesis import HealthCheck, settings

from tidemark.admin import admin
from tidemark.broker import ready
from tidemark.services import Endpoints, LocalServices

# A test is about what comes out, not how fast: the machine may be busy with the others. Everybody gets the same
# examples; `--hypothesis-profile explore` draws new ones.
for name, same in (("explore", False), ("tidemark", True)):
    settings.register_profile(
        name, deadline=None, derandomize=same, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("tidemark")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tidemark", "services that the tests use")
    group.addoption("--live-kafka", metavar="HOST:PORT", help="use this broker instead of starting one")
    group.addoption("--live-redis", metavar="HOST:PORT", help="use this Redis instead of starting one")
    group.addoption("--docker", action="store_true", help="start the services in Docker containers")


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A test that sets up logging does so for itself: its standard error is gone after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A broker and a Redis for the whole session: ours, Docker's or the ones the options name."""
    option = request.config.option
    with ExitStack() as stack:
        if option.docker:
            from containers import docker_services

            yield stack.enter_context(docker_services())
            return
        local = LocalServices(tmp_path_factory.mktemp("services"))
        stack.callback(local.stop)
        patience = local.settings.start_timeout
        broker = option.live_kafka or local.kafka.start(patience).address
        store = option.live_redis or local.redis.start(patience).address
        yield Endpoints(broker, store, str(local.dir))


@pytest.fixture(scope="session")
def kafka(services: Endpoints) -> str:
    """Bootstrap servers of the session's broker."""
    return services.kafka


@pytest.fixture(scope="session")
def redis_server(services: Endpoints) -> str:
    """host:port of the session's Redis."""
    return services.redis


@pytest.fixture
def topic(kafka: str) -> Iterator[Callable[..., str]]:
    """A factory: topic(partitions=1, name="events") makes a fresh topic and returns its name."""
    client = admin(kafka)
    made: list[str] = []

    def make(partitions: int = 1, name: str = "events") -> str:
        fresh = f"{name}-{uuid.uuid4().hex[:12]}"
        stamped = {"message.timestamp.type": "LogAppendTime"}
        order = NewTopic(fresh, num_partitions=partitions, replication_factor=1, config=stamped)
        for future in client.create_topics([order]).values():
            future.result(30)
        made.append(fresh)
        ready(client, {fresh: partitions})
        return fresh

    yield make
    if made:
        for future in client.delete_topics(made).values():
            future.result(30)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One local Spark with our jars: two cores, two shuffle partitions, no web page."""
    from streaming.session import build
    from tidemark.jars import spark_jars

    warehouse = tmp_path_factory.mktemp("spark")
    session = build(
        "tidemark-tests",
        master="local[2]",
        jars=spark_jars(),
        shuffle_partitions=2,
        conf={
            "spark.ui.enabled": "false",
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.warehouse.dir": str(warehouse),
            "spark.driver.extraJavaOptions": f"-Dderby.system.home={warehouse}",
        },
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
