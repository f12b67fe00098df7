"""The session's services in Docker containers, from the images that docker-compose.yml pins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from confluent_kafka import KafkaException

from tidemark.admin import admin
from tidemark.services import Endpoints
from tidemark.services.ports import HOST, free_port

ROOT = Path(__file__).parent.parent


def pinned() -> dict[str, str]:
    """The variables of .env."""
    lines = (ROOT / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@contextmanager
def docker_services() -> Iterator[Endpoints]:
    """A broker and a Redis in containers, removed at the end. Ends the run when no engine answers."""
    from docker import from_env
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer

    try:
        from_env().ping()
    except DockerException as error:
        pytest.exit(f"--docker: no Docker engine answers ({error}); start one or leave --docker out", 4)

    images, port = pinned(), free_port()
    broker = DockerContainer(images["KAFKA_IMAGE"]).with_bind_ports(9092, port)
    for key, value in _broker(port).items():
        broker = broker.with_env(key, value)
    store = DockerContainer(images["REDIS_IMAGE"]).with_exposed_ports(6379)
    store = store.with_command("redis-server --appendonly yes --save '' --maxmemory-policy noeviction")
    with broker, store:
        endpoints = Endpoints(f"{HOST}:{port}", f"{HOST}:{store.get_exposed_port(6379)}", "")
        _until(lambda: admin(endpoints.kafka).list_topics(timeout=2).brokers, KafkaException)
        host, _, number = endpoints.redis.partition(":")
        _until(lambda: redis.Redis(host=host, port=int(number)).ping(), redis.ConnectionError)
        yield endpoints


def _broker(port: int) -> dict[str, str]:
    ours = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": "1@localhost:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    lines = (ROOT / "conf" / "broker.properties").read_text().splitlines()
    tuned = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {"KAFKA_" + key.upper().replace(".", "_"): value for key, value in {**tuned, **ours}.items()}


def _until(ready, passing: type[Exception], patience: float = 60) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            if ready():
                return
        except passing:
            pass
        if time.monotonic() > end:
            pytest.exit(f"--docker: a container did not answer within {patience:g} s", 4)
        time.sleep(0.2)
