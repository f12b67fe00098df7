"""Kafka as a child process: one KRaft node, broker and controller in one JVM."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException

from streaming.errors import ServiceError
from tidemark.admin import admin
from tidemark.jars import broker_jars
from tidemark.java import java
from tidemark.services.ports import HOST, free_port, is_free
from tidemark.services.process import Running, Service
from tidemark.settings import LocalSettings, local_settings

CLUSTER = "dGlkZW1hcmstbG9jYWwtMQ"
"""Any 16 bytes in base64; fixed, so that our broker is told from another on the same port."""
JVM = ("-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")


class KafkaBroker(Service):
    """A broker on the loopback interface, tuned by conf/broker.properties."""

    name = "kafka"
    option = "--kafka-port"
    program = "java"

    def __init__(
        self,
        dir: Path,
        port: int | None = None,
        *,
        settings: LocalSettings | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(dir, port, say=say)
        self.settings = settings or local_settings()

    @property
    def data(self) -> Path:
        return self.dir / "data"

    def command(self, port: int) -> list[str]:
        properties = self._properties(port)
        if not (self.data / "meta.properties").is_file():
            self._format(properties)
        return [*self._jvm(self.settings.broker_heap), "kafka.Kafka", str(properties)]

    def answers(self, running: Running) -> bool:
        if is_free(running.port):
            return False
        try:
            metadata = admin(running.address).list_topics(timeout=2)
        except KafkaException:
            return False
        return metadata.cluster_id == CLUSTER and bool(metadata.brokers)

    def _jvm(self, heap: str) -> list[str]:
        classpath = os.pathsep.join(map(str, broker_jars(self.settings)))
        logging = (self.settings.conf_dir / "broker-log4j2.properties").resolve()
        found = java(self.settings.java_home)
        tuned = self.settings.broker_jvm.split()
        return [
            str(found),
            f"-Xmx{heap}",
            *JVM,
            *tuned,
            f"-Dlog4j2.configurationFile={logging}",
            "-cp",
            classpath,
        ]

    def _properties(self, port: int) -> Path:
        controller = free_port()
        ours = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "log.dirs": self.data,
        }
        theirs = (self.settings.conf_dir / "broker.properties").read_text()
        path = self.dir / "broker.properties"
        path.write_text(
            theirs + "\n# Set by services start.\n" + "".join(f"{k}={v}\n" for k, v in ours.items())
        )
        return path

    def _format(self, properties: Path) -> None:
        """Give an empty data directory its identity; a format that was cut short is done again."""
        if self.data.is_dir() and any(self.data.iterdir()):
            raise ServiceError(
                f"kafka: {self.data} holds files but no meta.properties, so it is no broker's data; "
                "move it away or choose another --dir"
            )
        command = [
            *self._jvm("128m"),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            CLUSTER,
            "-c",
            str(properties),
        ]
        done = subprocess.run(command, cwd=self.dir, capture_output=True, text=True, check=False)
        if done.returncode:
            said = " | ".join((done.stdout + done.stderr).split("\n")[:3])
            raise ServiceError(f"kafka: {self.data} could not be formatted: {said}")
