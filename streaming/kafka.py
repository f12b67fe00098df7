"""How to reach Kafka: encryption and identity from TIDEMARK_KAFKA_*, for librdkafka and for Spark's connector.

Certificates, keys and passwords are read where the program starts and handed on as text, so a cluster's executors need
neither the files nor the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from confluent_kafka import Consumer, KafkaException
from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streaming.errors import KafkaAway, TidemarkError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

REDACTION = r"(?i)secret|password|token|access[.]?key|keystore[.]key|sasl[.]jaas"
"""Names of Spark settings whose values Spark must not show; its own pattern, and the client's key and login."""


class KafkaSecurity(BaseSettings):
    """Each field is read from TIDEMARK_KAFKA_<NAME>. Files are PEM; a `..._file` holds what its name says, alone.

    `ca` verifies the broker (without it the system's authorities do); `certificate` and `key` are ours, for mTLS;
    `username` and `password` are for SASL.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_KAFKA_", extra="ignore")

    security_protocol: Protocol = "PLAINTEXT"
    sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None
    key_password_file: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.username and (self.password or self.password_file)
        ):
            raise ValueError(
                "SASL needs TIDEMARK_KAFKA_USERNAME and TIDEMARK_KAFKA_PASSWORD or TIDEMARK_KAFKA_PASSWORD_FILE"
            )
        if (self.certificate is None) != (self.key is None):
            raise ValueError("mTLS needs both TIDEMARK_KAFKA_CERTIFICATE and TIDEMARK_KAFKA_KEY")
        return self

    def security(self) -> Security:
        """The settings as values that pickle. Raises TidemarkError for a file that cannot be read."""
        encrypted = self.security_protocol.endswith("SSL")
        sasl = self.security_protocol.startswith("SASL")
        return Security(
            protocol=self.security_protocol,
            mechanism=self.sasl_mechanism if sasl else "",
            username=(self.username or "") if sasl else "",
            password=_secret(self.password, self.password_file) if sasl else "",
            ca=_text(self.ca) if encrypted else "",
            certificate=_text(self.certificate) if encrypted else "",
            key=_key(self.key) if encrypted else "",
            key_password=_secret(self.key_password, self.key_password_file) if encrypted else "",
        )


@dataclass(frozen=True)
class Security:
    """Encryption and identity as texts; empty is absent. Shows no secret when printed."""

    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    key_password: str = field(default="", repr=False)

    def librdkafka(self) -> dict[str, str]:
        """As confluent-kafka takes it."""
        if self.protocol == "PLAINTEXT":
            return {}
        return _present(
            {
                "security.protocol": self.protocol.lower(),
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password,
                "ssl.ca.pem": self.ca,
                "ssl.certificate.pem": self.certificate,
                "ssl.key.pem": self.key,
                "ssl.key.password": self.key_password,
            }
        )

    def spark(self) -> dict[str, str]:
        """As options of Spark's Kafka connector."""
        if self.protocol == "PLAINTEXT":
            return {}
        stores = {
            "ssl.truststore.type": "PEM" if self.ca else "",
            "ssl.truststore.certificates": self.ca,
            "ssl.keystore.type": "PEM" if self.key else "",
            "ssl.keystore.certificate.chain": self.certificate,
            "ssl.keystore.key": self.key,
            "ssl.key.password": self.key_password,
        }
        login = {"sasl.mechanism": self.mechanism, "sasl.jaas.config": self._jaas()}
        options = {"security.protocol": self.protocol, **stores, **login}
        return {f"kafka.{name}": value for name, value in _present(options).items()}

    def _jaas(self) -> str:
        if not self.mechanism:
            return ""
        module = "plain.PlainLoginModule" if self.mechanism == "PLAIN" else "scram.ScramLoginModule"
        name, word = (
            text.replace("\\", "\\\\").replace('"', '\\"') for text in (self.username, self.password)
        )
        return f'org.apache.kafka.common.security.{module} required username="{name}" password="{word}";'


@cache
def security() -> Security:
    """This process's, read once. Raises TidemarkError naming what is wrong."""
    try:
        return KafkaSecurity().security()
    except ValidationError as wrong:
        said = wrong.errors()[0]
        name = "_".join(str(part) for part in said["loc"]).upper()
        where = f"TIDEMARK_KAFKA_{name}: " if name else ""
        raise TidemarkError(
            f"{where}{said['msg'].removeprefix('Value error, ')}; correct it or unset it"
        ) from None


def client(
    bootstrap: str, more: Mapping[str, Any] | None = None, held: Security | None = None
) -> dict[str, Any]:
    """librdkafka's configuration for a client of these brokers: `held`, or this process's security, and `more`."""
    return {"bootstrap.servers": bootstrap, **(held or security()).librdkafka(), **(more or {})}


def reader(bootstrap: str) -> dict[str, str]:
    """Options with which Spark reads from these brokers.

    Spark asks for a partition's first and last offset after each fetch, and a broker answers a connection's
    requests one by one: the next fetch, which is on its way by then, must not wait there for new messages. A
    fetch is to be large for the same reason; the 500 messages of the client's default took a tenth of a drain.
    """
    return {
        "kafka.bootstrap.servers": bootstrap,
        "kafka.fetch.max.wait.ms": "1",
        "kafka.max.poll.records": "5000",
        "kafka.max.partition.fetch.bytes": str(4 << 20),
        **security().spark(),
    }


@contextmanager
def consumer(bootstrap: str, group: str, **more: Any) -> Iterator[Consumer]:
    """A consumer that commits nothing. What the broker does not answer within is raised as KafkaAway."""
    asking = {"group.id": group, "enable.auto.commit": False, "log_level": 0}
    held = Consumer(client(bootstrap, asking | more))
    try:
        yield held
    except KafkaException as error:
        reason = error.args[0].str() if error.args else error
        raise KafkaAway(f"Kafka at {bootstrap} does not answer ({reason}): start it") from error
    finally:
        held.close()


def _present(options: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise TidemarkError(
            f"{path} cannot be read ({error.strerror}): name a file that this user may read"
        ) from None


def _secret(value: SecretStr | None, path: Path | None) -> str:
    return value.get_secret_value() if value else _text(path)


def _key(path: Path | None) -> str:
    text = _text(path)
    if text and not re.search(r"BEGIN (ENCRYPTED )?PRIVATE KEY", text):
        raise TidemarkError(
            f"{path} is not a PKCS #8 key, which Java needs: openssl pkcs8 -topk8 -nocrypt -in {path} -out NEW"
        )
    return text
