"""The topics that conf/topics.yaml declares, brought about on a broker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from streaming.errors import ServiceError, TidemarkError
from tidemark.admin import admin

PATIENCE = 30


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One topic: its partitions, those of `--small`, and settings of its own."""

    partitions: int
    small: int = 0
    config: dict[str, str] = {}


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: settings for all topics, and the topics."""

    topics: dict[str, Topic]
    config: dict[str, str] = {}
    replication_factor: int = -1
    """-1 is the broker's default."""


@dataclass(frozen=True)
class Outcome:
    """What `apply` did to one topic. `warning` tells what a reader of the topic must know."""

    topic: str
    partitions: int
    done: str
    warning: str = ""


@dataclass(frozen=True)
class Found:
    """A topic as the broker has it; `events` counts the records that retention has left."""

    name: str
    partitions: int
    events: int
    retention_ms: int
    timestamps: str


def declared(path: Path) -> Declared:
    """Read the file. Raises TidemarkError naming what is wrong in it."""
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Declared)
    except FileNotFoundError:
        raise TidemarkError(f"{path} does not exist: name the folder of conf/ in TIDEMARK_CONF_DIR") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as wrong:
        raise TidemarkError(f"{path}: {wrong}; correct it") from None


def sized(file: Declared, *, small: bool = False, overrides: Sequence[str] = ()) -> dict[str, int]:
    """Partitions of each topic. An override is `N` for all topics or `topic=N` for one."""
    sizes = {name: (t.small or t.partitions) if small else t.partitions for name, t in file.topics.items()}
    for override in sorted(overrides, key=lambda text: "=" in text):
        name, _, number = override.rpartition("=")
        if not number.isdigit() or int(number) < 1:
            raise TidemarkError(f"--partitions {override}: write N or topic=N with N of at least 1")
        if name and name not in sizes:
            raise TidemarkError(f"--partitions {override}: no such topic; there are {', '.join(sizes)}")
        sizes.update({name: int(number)} if name else dict.fromkeys(sizes, int(number)))
    return sizes


def apply(bootstrap: str, file: Declared, sizes: Mapping[str, int]) -> list[Outcome]:
    """Create what is missing, grow what is too small, correct settings that differ.

    Idempotent, and safe beside another one that does the same. Raises ServiceError when the broker
    does not answer or refuses.
    """
    client = admin(bootstrap)
    before = _partitions(client, bootstrap)
    outcomes = []
    for name, topic in file.topics.items():
        wanted, config = sizes[name], {**file.config, **topic.config}
        had = before.get(name, 0)
        if not had:
            had = _create(client, name, wanted, file.replication_factor, config)
        outcomes.append(
            _adjust(client, name, had, wanted, config) if had else Outcome(name, wanted, "created")
        )
    _await(client, bootstrap, {o.topic: o.partitions for o in outcomes})
    return outcomes


def listed(bootstrap: str) -> list[Found]:
    """Every topic of the broker but its internal ones, by name."""
    client = admin(bootstrap)
    sizes = {n: p for n, p in _partitions(client, bootstrap).items() if not n.startswith("__")}
    every = [TopicPartition(n, p) for n, count in sizes.items() for p in range(count)]
    events = dict.fromkeys(sizes, 0)
    for sign, spec in ((1, OffsetSpec.latest()), (-1, OffsetSpec.earliest())):
        asked = client.list_offsets(dict.fromkeys(every, spec)) if every else {}
        for partition, future in asked.items():
            events[partition.topic] += sign * _result(future).offset
    found = []
    for name in sorted(sizes):
        config = _config(client, name)
        retention, stamps = int(config["retention.ms"]), config["message.timestamp.type"]
        found.append(Found(name, sizes[name], events[name], retention, stamps))
    return found


def _adjust(client: AdminClient, name: str, had: int, wanted: int, config: Mapping[str, str]) -> Outcome:
    done, warning = [], ""
    if had < wanted:
        _result(client.create_partitions([NewPartitions(name, wanted)])[name])
        done.append(f"grown from {had} to {wanted} partitions")
        warning = (
            "keys move to other partitions from here on, and an entity's order holds only on either side: "
            "let every reader catch up before producing again"
        )
    elif had > wanted:
        warning = f"has {had} partitions and {wanted} were asked for; Kafka cannot take any away"
    now = _config(client, name)
    differ = {key: value for key, value in config.items() if now.get(key) != value}
    if differ:
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in differ.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        _result(client.incremental_alter_configs([resource])[resource])
        done.append("set " + ", ".join(f"{key}={value}" for key, value in differ.items()))
    return Outcome(name, max(had, wanted), "; ".join(done) or "as declared", warning)


def _create(client: AdminClient, name: str, partitions: int, replicas: int, config: Mapping[str, str]) -> int:
    """0 when created; its partitions when somebody else was faster."""
    order = NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=dict(config))
    try:
        client.create_topics([order])[name].result(PATIENCE)
    except KafkaException as refused:
        if refused.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return len(client.list_topics(name, timeout=PATIENCE).topics[name].partitions)
        raise ServiceError(f"topic {name} could not be made: {refused.args[0].str()}") from None
    return 0


def _await(client: AdminClient, bootstrap: str, sizes: Mapping[str, int]) -> None:
    """A broker answers before all of it knows the new topics."""
    end = time.monotonic() + PATIENCE
    while True:
        now = _partitions(client, bootstrap)
        late = [name for name, count in sizes.items() if now.get(name, 0) < count]
        if not late:
            return
        if time.monotonic() > end:
            raise ServiceError(
                f"topic {late[0]} was made but is not there after {PATIENCE} s: see the broker's log"
            )
        time.sleep(0.05)


def _partitions(client: AdminClient, bootstrap: str) -> dict[str, int]:
    try:
        return {name: len(t.partitions) for name, t in client.list_topics(timeout=10).topics.items()}
    except KafkaException:
        raise ServiceError(
            f"no broker answers at {bootstrap}: start one with `tidemark services start`, "
            "or name yours with --bootstrap"
        ) from None


def _config(client: AdminClient, name: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, name)
    return {key: entry.value for key, entry in _result(client.describe_configs([resource])[resource]).items()}


def _result(future: Any) -> Any:
    try:
        return future.result(PATIENCE)
    except KafkaException as refused:
        raise ServiceError(f"the broker refused: {refused.args[0].str()}") from None
    except TimeoutError:
        raise ServiceError(f"the broker did not answer within {PATIENCE} s: see its log") from None
