"""A broker, a Redis and an applied copy of the feature repo, for one benchmark."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import redis

from generators.delivery import KafkaSettings
from generators.population import Population
from generators.run import Run
from generators.scenario import Scenario
from generators.tally import report
from generators.workers import carry_out
from streaming.errors import ServiceError
from tidemark import broker, topics
from tidemark.demo.lane import Child, Lane
from tidemark.demo.place import Place
from tidemark.services import Endpoints, LocalServices
from tidemark.settings import local_settings

HOT = Population(zipf=1.0, hot_share=0.2)
"""Keys by Zipf's law, the first of which has 20 % of the events."""

NO_DEDUPLICATION = """
for stream in (claims, transactions, iot):
    stream.tags["deduplicate"] = "false"
"""


@dataclass(frozen=True)
class World:
    """Where a benchmark runs; everything in it is gone afterwards."""

    place: Place
    endpoints: Endpoints

    def produce(
        self,
        events: int,
        mix: dict[str, float],
        *,
        start: float | None = None,
        rate: float = 5_000,
        seed: int = 1,
        population: Population = HOT,
    ) -> dict[str, Any]:
        """Send a backlog as fast as the broker takes it; event times advance at `rate` from `start` (s)."""
        scenario = Scenario(seed=seed, rate=rate, mix=mix, population=population)
        begin = None if start is None else int(start * 1000)
        return report(
            carry_out(
                Run(KafkaSettings(self.endpoints.kafka), scenario, None, events=events, start_time=begin)
            )
        )

    def prefill(
        self, events: int, mix: dict[str, float], *options: str, population: Population = HOT
    ) -> None:
        """Have the online lane work off `events` of the past 7 days, on the checkpoint `lane`."""
        week = 7 * 86_400
        self.produce(events, mix, start=time.time() - week, rate=events / week, seed=2, population=population)
        self.drain("lane", *options)

    def drain(self, name: str, *options: str) -> list[dict[str, Any]]:
        """Run the online lane until it has caught up; its batch reports.

        The last has `wall` (s) and `memory`, the most that each kind of process held (MB; see `held`).
        """
        lane = Lane(
            self.place.repo,
            self.place.dir / f"checkpoint-{name}",
            self.place.lane_log,
            "--until-caught-up",
            *options,
        )
        began = time.monotonic()
        most: Counter[str] = Counter()
        try:
            while lane.process.poll() is None:
                most |= Counter(self.held(lane))
                with suppress(subprocess.TimeoutExpired):
                    lane.process.wait(0.5)
            lines = list(lane.finish())
            lines[-1] |= {"wall": time.monotonic() - began, "memory": dict(most)}
        finally:
            lane.stop()
        return lines

    def ring_bytes(self, view: str, sample: int = 5_000) -> dict[str, float]:
        """p50, p99 and largest size of a view's rings, over some of them."""
        client = self.client()
        sizes = []
        for key in client.scan_iter(count=1_000):
            held = (
                client.hmget(key, f"_ring:{view}", f"_ring:{view}:head", f"_ring:{view}:tail")
                if client.type(key) == b"hash"
                else [None]
            )
            if held[0]:
                sizes.append(sum(len(blob) for blob in held if blob))
            if len(sizes) >= sample:
                break
        return {name: float(np.quantile(sizes, q)) for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}

    def held(self, lane: Child) -> dict[str, float]:
        """Memory now, in MB: resident of the driver's Python, its JVM and its workers; Redis by its own account."""
        sizes = {"driver": 0.0, "java": 0.0, "workers": 0.0}
        for process in (psutil.Process(lane.process.pid), *lane.children()):
            with suppress(psutil.NoSuchProcess):
                java = "java" if process.name() == "java" else "workers"
                kind = "driver" if process.pid == lane.process.pid else java
                sizes[kind] += process.memory_info().rss / 1e6
        return {**sizes, "redis": self.redis_memory() / 1e6}

    def client(self) -> redis.Redis:
        """A client of the world's Redis."""
        host, port = self.endpoints.redis.split(":")
        return redis.Redis(host, int(port))

    def redis_memory(self) -> int:
        """Bytes that Redis uses."""
        return int(self.client().info("memory")["used_memory"])


@contextmanager
def world(partitions: Sequence[str] = (), *, deduplicate: bool = True) -> Iterator[World]:
    """Start services in a directory of their own, create topics and apply the shipped repo."""
    settings = local_settings()
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        place = Place(Path(folder))
        services = LocalServices(place.services, 0, 0, settings=settings, say=lambda _: None)
        endpoints = services.start()
        try:
            wanted = topics.declared(settings.conf_dir / "topics.yaml")
            broker.apply(
                endpoints.kafka, wanted, topics.sized(wanted, small=True, overrides=list(partitions))
            )
            place.copy_repo(endpoints)
            if not deduplicate:
                with (place.repo / "sources.py").open("a") as sources:
                    sources.write(NO_DEDUPLICATION)
            place.apply(endpoints)
            yield World(place, endpoints)
        finally:
            services.stop()


def task_seconds(line: dict[str, Any]) -> Counter[str]:
    """Seconds that the tasks of a reported batch spent by stage, added up over views and tasks."""
    spent: Counter[str] = Counter()
    for view in line["views"].values():
        spent.update(view["seconds"])
    return spent


@contextmanager
def running(lane: Child) -> Iterator[Child]:
    """A lane that is stopped at the end."""
    try:
        yield lane
    finally:
        lane.stop()


def reported(lane: Child, seconds: float = 180) -> list[dict[str, Any]]:
    """Wait until the lane has reported a batch that read something; what it has reported. Raises ServiceError."""
    deadline, lines = time.monotonic() + seconds, list(lane.reports())
    while not any(line.get("read") for line in lines):
        lane.check()
        if time.monotonic() > deadline:
            raise ServiceError(f"the lane has not reported in {seconds:.0f} s: see {lane.log}")
        time.sleep(0.2)
        lines += lane.reports()
    return lines
