"""Hostile traffic from the producer's own engine, in a thread of the demo."""

from __future__ import annotations

import threading
import time
from collections import Counter

from generators.delivery import KafkaSettings
from generators.hostile import KINDS, Hostility
from generators.run import Producing, Run
from generators.scenario import Scenario
from generators.tally import Tally
from streaming.errors import ServiceError

BUNCH = 0.04
"""Seconds of traffic made in one go. Making one event costs the processor as much as making forty."""
HOSTILITY = Hostility(late=0.03, duplicates=0.02, malformed=0.01)


class Traffic(threading.Thread):
    """All three streams at `rate` events a second until `finish`.

    `tally` grows while it runs; the counts by stream are complete after `finish`.
    """

    def __init__(self, bootstrap: str, rate: float, hostility: Hostility = HOSTILITY, seed: int = 0) -> None:
        """Connects and builds the population; raises ServiceError when no broker answers."""
        super().__init__(name="traffic", daemon=True)
        scenario = Scenario(seed=seed, rate=rate)
        self.producing = Producing(Run(KafkaSettings(bootstrap), scenario, rate, hostility=hostility))
        self.tally = Tally()
        self._halt = threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            for tally in self.producing.go(self._halt.is_set, _clock):
                self.tally = tally
        except Exception as error:
            self._error = error

    def finish(self) -> None:
        """Stop making events and wait for those on their way. Raises ServiceError when one was lost."""
        self._halt.set()
        if self.is_alive():
            self.join(60)
        self.check()
        if self.is_alive() or not self.tally.finished:
            raise ServiceError("the producer did not finish: the broker takes no more, see its log")
        if self.tally.acked < self.tally.sent:
            lost = self.tally.sent - self.tally.acked
            raise ServiceError(f"{lost:,} events were not delivered: see the broker's log")

    def abandon(self) -> None:
        """Stop without an account."""
        self._halt.set()
        if self.is_alive():
            self.join(20)

    def check(self) -> None:
        """Raises what ended the thread early."""
        if self._error:
            raise self._error

    def sent(self, stream: str) -> int:
        """Messages of a stream, duplicates and malformed ones included."""
        return self.tally.streams[stream]

    def spoiled(self, stream: str) -> Counter[str]:
        """Malformed messages of a stream by kind."""
        counts = self.producing.saboteurs[stream].counts
        return Counter({kind: counts[kind] for kind in KINDS if counts[kind]})

    def repeated(self, stream: str) -> int:
        """Duplicates of a stream."""
        return self.producing.saboteurs[stream].counts["duplicates"]

    @property
    def late(self) -> int:
        """Events made at least a second old."""
        return sum(saboteur.counts["late"] for saboteur in self.producing.saboteurs.values())


def _clock() -> float:
    """Monotonic seconds that advance in steps of BUNCH; events bear the time at which they are sent."""
    return time.monotonic() // BUNCH * BUNCH
