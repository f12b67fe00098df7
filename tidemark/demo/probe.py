"""Freshness, measured from outside: how long from an event to its being readable through Feast."""

from __future__ import annotations

import random
import threading
import time
import uuid
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Producer

from generators.contracts import STREAMS
from generators.delivery import KafkaSettings
from generators.encode import encode
from generators.scenario import Scenario
from generators.simulate import Simulation
from streaming.errors import ServiceError

USER = "PROBE"
FEATURE = "user_transactions:transaction_count_1hr"
PAUSE = (0.1, 0.5)
"""Seconds between two probes, drawn at random: a fixed pause would fall into step with the batches."""
GLANCE, PATIENCE = 0.02, 0.05
"""Seconds between two reads, and the part of the time waited so far: the longer of both. A sample is
too long by at most that and one read (2 to 4 ms); reading all the time would slow what is measured."""


@dataclass(frozen=True)
class Sample:
    """One probe: when its event was made (seconds since the epoch), and seconds until it was readable."""

    made: float
    seconds: float


class Probe(threading.Thread):
    """Pays as a user of its own, then asks Feast for the user's count of payments until it shows the event.

    Nothing is inferred: the event goes the way of all others (Kafka, Spark, Redis), and the clock stops
    when `FeatureStore.get_online_features` returns a count that includes it. Comparing the event time
    that Feast returns with the wall clock would also count the time since the user's last event.
    """

    def __init__(self, repo: Path, bootstrap: str) -> None:
        super().__init__(name="probe", daemon=True)
        self.store = _store(repo)
        self.samples: list[Sample] = []
        self.sent = 0
        self._producer = Producer(KafkaSettings(bootstrap).client())
        self._template = _payment()
        self._enough, self._halt = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._failed: str = ""

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self._measure()
                self._enough.wait(random.uniform(*PAUSE))
        except Exception as error:
            self._error = error

    def _measure(self) -> None:
        made = time.time()
        self._pay(made)
        while (self.count() or 0) < self.sent:
            self._producer.poll(0)
            if self._failed:
                raise ServiceError(f"a probe was not delivered ({self._failed}): see the broker's log")
            if self._halt.wait(max(GLANCE, PATIENCE * (time.time() - made))):
                return
        self.samples.append(Sample(made, time.time() - made))

    def _pay(self, made: float) -> None:
        instant = datetime.fromtimestamp(made, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {**self._template, "transaction_id": str(uuid.uuid4()), "timestamp": instant}
        value = msgspec.json.encode(event)
        self._producer.produce(
            STREAMS["transactions"].topic, value, USER.encode(), on_delivery=self._delivered
        )
        self.sent += 1

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failed = error.str()

    def count(self) -> int | None:
        """Payments of the probe's user as Feast serves them now; None while it knows no such user."""
        read = self.store.get_online_features([FEATURE], [{"user_id": USER}]).to_dict()
        return read["transaction_count_1hr"][0]

    def check(self) -> None:
        """Raises what ended the thread early."""
        if self._error:
            raise self._error

    def finish(self) -> None:
        """Send no more; the thread ends when the last probe has come back."""
        self._enough.set()

    def abandon(self) -> None:
        """End at once."""
        self._enough.set()
        self._halt.set()
        if self.is_alive():
            self.join(20)

    def between(self, first: float, last: float) -> list[float]:
        """The samples of probes made in a span of time, in seconds."""
        return [sample.seconds for sample in list(self.samples) if first <= sample.made <= last]


def quantile(values: list[float], share: float) -> float | None:
    """The value that `share` of `values` do not exceed, None without any."""
    return float(np.quantile(values, share)) if values else None


def _store(repo: Path) -> Any:
    """The repo's FeatureStore, which starts no Spark of its own and does not repeat Feast's warnings."""
    from streaming import lazy_spark

    lazy_spark.install()
    from feast import FeatureStore

    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"feast\.")
    return FeatureStore(repo_path=str(repo))


def _payment() -> dict[str, Any]:
    """A payment of the simulation, made the probe's own."""
    events = Simulation(Scenario()).events("transactions", 0, np.array([int(time.time() * 1000)]))
    _, (value,) = encode("transactions", events)
    return {**msgspec.json.decode(value), "user_id": USER}
