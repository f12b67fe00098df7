"""Pushes what the engine computes into stores that cannot compute windows, such as DynamoDB.

    python examples/underwriting/push.py --repo examples/underwriting/feature_repo

Follows the topic feature-updates, which has a customer's features after each of their payments, and pushes
the newest of each batch through customer_transactions_push_source. What is pushed is as of the last payment
and does not age.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import typer
from confluent_kafka import Consumer, KafkaException

from examples.underwriting.script import run
from examples.underwriting.settings import REPO
from streaming.errors import ServiceError
from streaming.outbox import Update

SOURCES = {"customer_transaction_stream": "customer_transactions_push_source"}
"""Push source of each stream view."""
BATCH = 1_000


class Updates:
    """The topic of updates, read by a consumer group, which goes on where it last committed."""

    def __init__(self, bootstrap: str, topic: str, group: str) -> None:
        self.bootstrap = bootstrap
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([topic])

    def next(self, timeout: float) -> list[Update]:
        """The next updates, at most BATCH; none after `timeout` seconds of silence. Raises ServiceError."""
        late = time.monotonic() + timeout
        found: list[Update] = []
        while not found and time.monotonic() < late:
            for message in self._consumer.consume(BATCH, 0.3):
                if message.error():
                    raise ServiceError(
                        f"Kafka at {self.bootstrap}: {message.error()}: see whether the topic exists"
                    )
                found.append(msgspec.json.decode(message.value() or b"", type=Update))
        return found

    def commit(self) -> None:
        """What `next` has returned was pushed."""
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            raise ServiceError(
                f"Kafka at {self.bootstrap} did not take the offsets ({error}): start again"
            ) from error

    def close(self) -> None:
        self._consumer.close()


def push(store: Any, updates: Iterable[Update]) -> int:
    """Push the newest update of each customer to the online store; returns how many."""
    import pandas as pd
    from feast.data_source import PushMode

    newest: dict[tuple[str, str], Update] = {}
    for update in updates:
        key = (update.view, update.entity["customer_id"])
        if update.view in SOURCES and (
            key not in newest or update.event_timestamp >= newest[key].event_timestamp
        ):
            newest[key] = update
    for view, source in SOURCES.items():
        rows = [
            {
                **update.entity,
                **msgspec.to_builtins(update.features),
                "event_timestamp": datetime.fromisoformat(update.event_timestamp),
                "created_at": datetime.fromisoformat(update.event_timestamp),
            }
            for update in newest.values()
            if update.view == view
        ]
        if rows:
            store.push(source, pd.DataFrame(rows), to=PushMode.ONLINE)
    return len(newest)


def drain(store: Any, updates: Updates, patience: float = 60.0, quiet: float = 1.5) -> None:
    """Push until the topic is silent for `quiet` seconds; joining the group may take `patience`."""
    while found := updates.next(patience):
        push(store, found)
        updates.commit()
        patience = quiet


def main(
    repo: Path = typer.Option(REPO, "--repo", help="The Feast repo whose online store is written"),
    bootstrap: str = typer.Option("localhost:9092", "--bootstrap", envvar="TIDEMARK_BOOTSTRAP"),
    topic: str = typer.Option("feature-updates", "--topic"),
    until_quiet: bool = typer.Option(False, "--until-quiet", help="End once the topic is silent"),
) -> None:
    """Push updates until stopped."""
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(repo))
    with closing(Updates(bootstrap, topic, "underwriting-push")) as updates:
        drain(store, updates)
        while not until_quiet:
            drain(store, updates)


if __name__ == "__main__":
    run(main)
