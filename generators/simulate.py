"""Events of a stream by index: the simulators behind one door."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from generators.claims import Claims
from generators.columns import Events
from generators.contracts import STREAMS
from generators.draws import Bools, Ints, mix
from generators.episodes import Roles
from generators.iot import Telemetry
from generators.population import Population
from generators.scenario import Scenario
from generators.transactions import Transactions


class Simulator(Protocol):
    """What each stream's module offers; `index` is ascending and lies within the range of the roles."""

    def roles(self, first: int, end: int) -> Roles: ...

    def entities(self, index: Ints, roles: Roles) -> Ints: ...

    def events(self, index: Ints, at: Ints, entities: Ints, roles: Roles) -> Events: ...


class Simulation:
    """The streams of a scenario. An event depends on (scenario, stream, index, time) and nothing else."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._streams: dict[str, Simulator] = {
            "claims": Claims(scenario),
            "transactions": Transactions(scenario),
            "iot": Telemetry(scenario),
        }

    def times(self, stream: str, start_time: int, first: int, end: int) -> Ints:
        """When the events [first, end) happen, milliseconds, if the first of all happens at `start_time`."""
        step = 1000.0 / self.scenario.stream_rate(stream)
        return start_time + np.floor(np.arange(first, end) * step).astype(np.int64)

    def events(self, stream: str, first: int, at: Ints, *, shard: tuple[int, int] = (0, 1)) -> Events:
        """The events from index `first` on, at the times `at` (milliseconds, one an event).

        `shard` (number, of how many) keeps the entities of one shard only, so that several processes
        can share a stream and each entity's events stay in order.
        """
        if stream not in STREAMS:
            raise ValueError(f"there is no stream {stream!r}; choose from {', '.join(STREAMS)}")
        simulator, end = self._streams[stream], first + len(at)
        index = np.arange(first, end)
        roles = simulator.roles(first, end)
        entities = simulator.entities(index, roles)
        number, shards = shard
        if shards > 1:
            rows = np.flatnonzero(_in_shard(entities, number, shards))
            index, at, entities, roles = index[rows], at[rows], entities[rows], roles.of(rows)
        return simulator.events(index, at, entities, roles)


def _in_shard(entities: Ints, number: int, shards: int) -> Bools:
    return mix(entities.astype(np.uint64)) % np.uint64(shards) == number


@lru_cache(maxsize=4)
def _simulation(seed: int, stream: str, rate: float, population: Population) -> Simulation:
    return Simulation(Scenario(seed=seed, population=population).at_stream_rate(stream, rate))


def stream(
    name: str,
    *,
    seed: int = 0,
    start_index: int = 0,
    n: int,
    start_time: int,
    rate: float,
    population: Population | None = None,
) -> Events:
    """Events [start_index, start_index + n) of a stream in columns.

    Event 0 happens at `start_time` (milliseconds since the epoch) and `rate` follow a second; the
    other streams are taken to run in the default mix beside it. Call it in pieces of any size.
    """
    simulation = _simulation(seed, name, rate, population or _DEFAULT)
    times = simulation.times(name, start_time, start_index, start_index + n)
    return simulation.events(name, start_index, times)


_DEFAULT = Population()
