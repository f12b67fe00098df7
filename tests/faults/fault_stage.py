"""Where faults happen: a broker, a Redis behind a proxy and a lane, all processes that can be killed, and a flow of events."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awake import Awake
from confluent_kafka.admin import NewTopic
from fault_checks import Monotone
from fault_proxy import Proxy
from lane_child import Child
from lane_orders import wave
from lane_world import World, running
from redis_server import Server

from streaming.checkpoint import Checkpoint
from streaming.plan import Plan
from tidemark.admin import admin
from tidemark.broker import ready
from tidemark.services import LocalServices
from tidemark.services.kafka import KafkaBroker

MINUTE = 60_000
NAMES = ("pair_orders", "shop_orders", "user_orders")
QUICK = NAMES[:2]
"""Views that are checked after every fault; all of them are at the end."""
DURABLE = ["appendonly yes", "appendfsync always"]
PATIENCE = 240.0


@dataclass
class Stage:
    """`lines` are the reports of the lane that runs now, `past` those of earlier ones."""

    world: World
    redis: Server
    proxy: Proxy
    seed: int
    rng: random.Random
    broker: KafkaBroker | None = None
    partitions: int = 3
    child: Child | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    past: list[dict[str, Any]] = field(default_factory=list)
    alive: Callable[[], object] = lambda: True
    clock: Callable[[], float] = field(default_factory=Awake)
    _waves: int = 0

    @classmethod
    @contextmanager
    def build(
        cls, directory: Path, seed: int, kafka: str | None = None, topic: Callable[..., str] | None = None
    ) -> Iterator[Stage]:
        """A Redis of its own; a broker of its own unless `kafka` and a factory of topics are given."""
        directory.mkdir(parents=True, exist_ok=True)
        local = LocalServices(directory / "services")
        redis = Server(directory / "redis", DURABLE)
        broker = None if kafka else local.kafka
        if kafka is None:
            kafka = local.kafka.start(local.settings.start_timeout).address
        try:
            proxy = Proxy(redis.start().port)
            name = directory / f"shop_{uuid.uuid4().hex[:8]}"
            make = topic or (lambda partitions=1, name="t": topics(kafka, partitions, name))
            world = World.make(name, kafka, f"127.0.0.1:{proxy.port}", make)
            stage = cls(world, redis, proxy, seed, random.Random(seed), broker)
            try:
                yield stage
            finally:
                stage.down()
                proxy.close()
        finally:
            redis.kill()
            local.stop()

    @property
    def topic(self) -> str:
        return self.world.given["orders"]

    def plan(self, spark: Any, views: tuple[str, ...] = QUICK) -> Plan:
        return self.world.plan(spark, list(views))

    def start(self, *options: str, **environment: str) -> float:
        """Start a driver; the moment it was started."""
        self.past += self.lines
        began = self.clock()
        settings = {"TIDEMARK_LEASE_SECONDS": "4", "TIDEMARK_BACKOFF_SECONDS": "1", **environment}
        self.child = child = Child(
            self.world, "--views", ",".join(NAMES), "--max-events", "150", *options, **settings
        )
        self.lines = child.lines
        self.alive = lambda: child.process.poll() is None
        return began

    def ensure(self) -> None:
        """A driver that works."""
        if self.child is None or not self.alive():
            self.start()
            self.send(20)
            self.until(lambda: self.lines)

    def down(self) -> None:
        """End the driver, and whatever it has started."""
        if self.child is not None:
            end(self.child)
            self.child = None

    @contextmanager
    def thread(self, spark: Any) -> Iterator[None]:
        """The lane in a thread of this process, for faults of what is around it."""
        lane = self.world.lane(
            spark, QUICK, on_batch=self.lines.append, max_events=150, lease_seconds=4, backoff_seconds=1
        )
        with running(lane) as raised:
            self.alive = lambda: not raised
            yield
        assert not raised, raised

    def send(self, count: int, **options: Any) -> None:
        """Send a wave of orders of the last hour."""
        self.world.send(self.wave(count, **options))

    def wave(self, count: int, span: int = 60, **options: Any) -> list[tuple[str, int, bytes | None, Any]]:
        self._waves += 1
        now = int(time.time() * 1000)
        number = self.seed * 1000 + self._waves
        return list(
            wave(number, count, now - span * MINUTE, now - MINUTE, partitions=self.partitions, **options)
        )

    @contextmanager
    def flow(self, count: int = 400, slices: int = 10, pause: float = 0.3) -> Iterator[None]:
        """Send a wave in slices while the body runs; all of it is acknowledged at the end."""
        orders = self.wave(count)
        size = -(-count // slices)
        failed: list[Exception] = []

        def work() -> None:
            try:
                for begin in range(0, count, size):
                    self.world.send(orders[begin : begin + size])
                    time.sleep(pause)
            except Exception as error:
                failed.append(error)

        sender = threading.Thread(target=work)
        sender.start()
        try:
            yield
        finally:
            sender.join()
        if failed:
            raise failed[0]

    def until(self, happened: Callable[[], object], seconds: float = PATIENCE) -> float:
        """Wait until `happened()`; how long that took (s). Fails when the lane has ended, or time runs out."""
        began = self.clock()
        while not happened():
            assert self.alive(), f"the lane ended: {self.child.said if self.child else ''}"
            assert self.clock() - began < seconds, f"not within {seconds:.0f} s"
            time.sleep(0.02)
        return self.clock() - began

    def batches(self, more: int = 1) -> None:
        """Wait for further batches to be reported."""
        enough = len(self.lines) + more
        self.until(lambda: len(self.lines) >= enough)

    def caught_up(self) -> float:
        """Wait until a committed batch ends where the topic ends; how long that took (s)."""
        ends: dict[str, int] = {}
        for message, _ in self.world.sent:
            if message.topic == self.topic:
                partition = str(message.partition)
                ends[partition] = max(ends.get(partition, 0), message.offset + 1)
        held = self.committed
        return self.until(lambda: all(held().get(partition, 0) >= end for partition, end in ends.items()))

    def committed(self) -> dict[str, int]:
        """Offsets up to which batches are committed, by partition."""
        checkpoint = Checkpoint(str(self.world.checkpoint))
        last = checkpoint.last_committed()
        entry = checkpoint.entry(last) if last >= 0 else None
        return entry.end.get(self.topic, {}) if entry else {}

    @contextmanager
    def watched(self, spark: Any) -> Iterator[Monotone]:
        """Poll that no ring goes back in time, meanwhile."""
        monotone = Monotone(self.redis.port, self.plan(spark).views[0])
        monotone.start()
        try:
            yield monotone
        finally:
            monotone.stop()


def topics(kafka: str, partitions: int, name: str) -> str:
    """A fresh topic, stamped by the broker's clock."""
    client = admin(kafka)
    fresh = f"{name}-{uuid.uuid4().hex[:8]}"
    stamped = {"message.timestamp.type": "LogAppendTime"}
    for future in client.create_topics([NewTopic(fresh, partitions, 1, config=stamped)]).values():
        future.result(30)
    ready(client, {fresh: partitions})
    return fresh


def end(child: Child) -> None:
    """End a driver and whatever it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile, and goes on then."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
