"""Three KRaft nodes on this machine, each broker and controller; topics with three replicas."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import NewTopic

from tidemark.admin import admin
from tidemark.broker import ready
from tidemark.services.kafka import KafkaBroker
from tidemark.services.ports import HOST, free_port

SAFE = {"min.insync.replicas": "2", "message.timestamp.type": "LogAppendTime"}


class Node(KafkaBroker):
    """One of several nodes; `controllers` are the ports of all of them."""

    def __init__(self, dir: Path, number: int, controllers: list[int]) -> None:
        super().__init__(dir)
        self.number = number
        self.controllers = controllers
        self.settings = self.settings.model_copy(update={"broker_heap": "256m"})

    def _properties(self, port: int) -> Path:
        path = super()._properties(port)
        mine = self.controllers[self.number - 1]
        voters = ",".join(f"{n}@{HOST}:{p}" for n, p in enumerate(self.controllers, 1))
        changed = {
            "node.id": self.number,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{mine}",
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": 3,
            "transaction.state.log.replication.factor": 3,
        }
        # Of two lines with one name, the last counts.
        path.write_text(path.read_text() + "".join(f"{k}={v}\n" for k, v in changed.items()))
        return path


@contextmanager
def three_brokers(directory: Path) -> Iterator[list[Node]]:
    """Started together, since none answers without a majority; gone at the end."""
    controllers = [free_port() for _ in range(3)]
    nodes = [Node(directory / str(n), n, controllers) for n in (1, 2, 3)]
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda node: node.start(120), nodes))
        yield nodes
    finally:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda node: node.stop(), nodes))


def addresses(nodes: list[Node]) -> str:
    """Bootstrap servers."""
    return ",".join(running.address for node in nodes if (running := node.running()))


def topic(kafka: str, partitions: int, name: str) -> str:
    """A topic of which two replicas must have what is acknowledged."""
    client = admin(kafka)
    for future in client.create_topics([NewTopic(name, partitions, 3, config=SAFE)]).values():
        future.result(30)
    ready(client, {name: partitions})
    return name
