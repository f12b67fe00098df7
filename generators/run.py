"""One process's part of a run: which events are due, their messages, their delivery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from generators.contracts import STREAMS
from generators.delivery import Delivery, KafkaSettings
from generators.draws import Ints
from generators.hostile import Hostility, Saboteur
from generators.pacing import Pace
from generators.scenario import Scenario
from generators.simulate import Simulation
from generators.tally import Tally

_MOST = 16_384
"""Events made in one go, over all streams."""

_TICK = 0.05
"""Seconds of traffic that a paced run makes in one go: an event costs a fraction in company."""


@dataclass(frozen=True)
class Run:
    """What to produce. The scenario's mix says which streams, and its rate the density of event time.

    `throughput` events a second are sent, or as many as the broker takes if it is None, until `events`
    of them or `duration` seconds; `start_index` is where each stream begins. Events happen as they are
    sent, or from `start_time` (milliseconds) on at the scenario's rate. `topics` overrides topic names.
    """

    kafka: KafkaSettings
    scenario: Scenario
    throughput: float | None = 5_000.0
    events: int | None = None
    duration: float | None = None
    start_time: int | None = None
    hostility: Hostility = field(default_factory=Hostility)
    topics: dict[str, str] = field(default_factory=dict)

    def topic(self, stream: str) -> str:
        return self.topics.get(stream, STREAMS[stream].topic)


class Producing:
    """Makes and sends the events of one shard (number, of how many) of a run."""

    def __init__(self, run: Run, shard: tuple[int, int] = (0, 1)) -> None:
        """Connects; raises ServiceError when no broker answers or a topic is missing."""
        self.run = run
        self.shard = shard
        self.streams = [s for s in STREAMS if run.scenario.mix.get(s)]
        self.simulation = Simulation(run.scenario)
        seed, hostility = run.scenario.seed, run.hostility
        self.saboteurs = {s: Saboteur(seed, s, hostility) for s in self.streams}
        self.done = dict.fromkeys(self.streams, 0)
        self.tally = Tally()
        self.delivery = Delivery(run.kafka, [run.topic(s) for s in self.streams])
        self._warm()

    def _warm(self) -> None:
        """Builds the population before the clock runs."""
        for stream in self.streams:
            self.simulation.events(stream, 0, np.zeros(1, np.int64))

    def go(
        self,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> Iterator[Tally]:
        """Runs to the end or until `stop`, yielding the tally a few times a second, at last `finished`."""
        run, began = self.run, clock()
        pace = Pace(run.throughput, began, clock, run.events)
        shown = sent = began
        while not (stop() or pace.finished() or clock() - began >= (run.duration or float("inf"))):
            wait = sent + _TICK - clock() if run.throughput is not None else 0.0
            if wait > 0:
                self.delivery.poll(wait)
            elif due := pace.due(_MOST):
                sent = clock()
                pace.done += due
                self._send(pace.done, int(now() * 1000), last=pace.finished())
            else:
                self.delivery.poll(_TICK)
            if clock() - shown >= 0.2:
                shown = clock()
                yield self._count(shown - began, pace)
        for stream, saboteur in self.saboteurs.items():
            self._deliver(stream, *saboteur.rest())
        self.delivery.close()
        self.tally.finished = True
        yield self._count(clock() - began, pace)

    def _send(self, upto: int, now: int, *, last: bool) -> None:
        """Sends what brings all streams together to `upto` events."""
        for number, stream in enumerate(reversed(self.streams)):
            others = sum(self.done[s] for s in self.streams if s != stream)
            final = last and number == len(self.streams) - 1
            end = upto - others if final else int(upto * self._share(stream) + 1e-9)
            first, self.done[stream] = self.done[stream], max(end, self.done[stream])
            if self.done[stream] > first:
                self._piece(stream, first, self.done[stream], now)

    def _share(self, stream: str) -> float:
        return self.run.scenario.stream_rate(stream) / self.run.scenario.rate

    def _piece(self, stream: str, first: int, end: int, now: int) -> None:
        saboteur = self.saboteurs[stream]
        at = self._times(stream, first, end, now) - saboteur.delay(np.arange(first, end))
        events = self.simulation.events(stream, first, at, shard=self.shard)
        self._deliver(stream, *saboteur.messages(events, end))

    def _times(self, stream: str, first: int, end: int, now: int) -> Ints:
        if self.run.start_time is None:
            return np.full(end - first, now)
        return self.simulation.times(stream, self.run.start_time, first, end)

    def _deliver(self, stream: str, keys: list, values: list) -> None:
        if keys:
            self.delivery.send(self.run.topic(stream), keys, values)
            self.tally.streams[stream] += len(keys)

    def _count(self, elapsed: float, pace: Pace) -> Tally:
        self.delivery.count()
        tally, delivery = self.tally, self.delivery
        tally.sent, tally.acked, tally.bytes = delivery.sent, delivery.acked, delivery.bytes
        tally.failures, tally.latency = delivery.failures, delivery.latency
        tally.hostile.clear()
        for saboteur in self.saboteurs.values():
            tally.hostile.update(saboteur.counts)
        tally.elapsed, tally.behind = elapsed, pace.behind
        return tally
