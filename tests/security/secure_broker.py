"""The real broker with three listeners: one that asks for a password, one for a certificate, one for its own use."""

from __future__ import annotations

import subprocess
from pathlib import Path

from certificates import Authority
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streaming import kafka
from streaming.kafka import Security
from tidemark.services.kafka import CLUSTER, KafkaBroker
from tidemark.services.ports import HOST, free_port, is_free

USER, WORD = "lane", "s3cret/w0rd+of=the.lane"


class SecureBroker(KafkaBroker):
    """`address` of the process is SASL_SSL; `mtls` is the address that wants a certificate."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        self.authority = authority
        self.pair = authority.sign("broker")
        self.mtls_port = free_port()

    @property
    def mtls(self) -> str:
        return f"{HOST}:{self.mtls_port}"

    def security(self) -> Security:
        return Security("SASL_SSL", "SCRAM-SHA-512", USER, WORD, self.authority.ca.read_text())

    def answers(self, running) -> bool:
        if is_free(running.port):
            return False
        try:
            return bool(
                AdminClient(kafka.client(running.address, {"log_level": 0}, self.security())).list_topics(
                    timeout=2
                )
            )
        except KafkaException:
            return False

    def _properties(self, port: int) -> Path:
        path = super()._properties(port)
        controller, internal = free_port(), free_port()
        chain = self.pair.certificate.read_text().replace("\n", "\\n")
        key = self.pair.key.read_text().replace("\n", "\\n")
        trusted = self.authority.ca.read_text().replace("\n", "\\n")
        secure = {
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": f"LOGIN://{HOST}:{port},MUTUAL://{HOST}:{self.mtls_port},"
            f"INSIDE://{HOST}:{internal},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"LOGIN://{HOST}:{port},MUTUAL://{HOST}:{self.mtls_port},INSIDE://{HOST}:{internal}",
            "listener.security.protocol.map": "LOGIN:SASL_SSL,MUTUAL:SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INSIDE",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.login.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": chain,
            "ssl.keystore.key": key,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": trusted,
        }
        with path.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in secure.items())
        return path

    def _format(self, properties: Path) -> None:
        tool = [*self._jvm("128m"), "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)]
        scram = f'SCRAM-SHA-512=[name="{USER}",password="{WORD}"]'
        subprocess.run([*tool, "--add-scram", scram], cwd=self.dir, check=True, capture_output=True)
