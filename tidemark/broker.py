"""The topics of a running broker: brought to what is declared, listed, waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

from streaming.errors import ServiceError
from tidemark.admin import admin
from tidemark.topics import Declared

PATIENCE = 30
NOT_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.REQUEST_TIMED_OUT,
}


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
    ready(client, {o.topic: o.partitions for o in outcomes})
    return outcomes


def listed(bootstrap: str) -> list[Found]:
    """Every topic of the broker but its internal ones, by name."""
    client = admin(bootstrap)
    sizes = {n: p for n, p in _partitions(client, bootstrap).items() if not n.startswith("__")}
    first, last = (_offsets(client, sizes, spec) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
    events = {name: last[name] - first[name] for name in sizes}
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


def ready(client: AdminClient, sizes: Mapping[str, int]) -> None:
    """Wait until every partition serves: a broker knows a new topic some time before it leads it."""
    end = time.monotonic() + PATIENCE
    while True:
        now = _partitions(client, "the broker")
        late = [name for name, count in sizes.items() if now.get(name, 0) < count]
        if not late:
            break
        if time.monotonic() > end:
            raise ServiceError(f"topic {late[0]} is not there after {PATIENCE} s: see the broker's log")
        time.sleep(0.05)
    _offsets(client, sizes, OffsetSpec.latest())


def _offsets(client: AdminClient, sizes: Mapping[str, int], spec: OffsetSpec) -> dict[str, int]:
    """The sum of each topic's offsets, once all of its partitions have a leader."""
    left = {TopicPartition(name, p): spec for name, count in sizes.items() for p in range(count)}
    sums = dict.fromkeys(sizes, 0)
    end = time.monotonic() + PATIENCE
    while left:
        for partition, future in client.list_offsets(left).items():
            try:
                sums[partition.topic] += future.result(PATIENCE).offset
                del left[partition]
            except KafkaException as refused:
                if refused.args[0].code() not in NOT_YET or time.monotonic() > end:
                    raise ServiceError(
                        f"{partition.topic}: the broker refused: {refused.args[0].str()}"
                    ) from None
        if left:
            time.sleep(0.05)
    return sums


def _partitions(client: AdminClient, bootstrap: str) -> dict[str, int]:
    try:
        return {name: len(t.partitions) for name, t in client.list_topics(timeout=5).topics.items()}
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
