"""Faults that a running lane gets over by itself, each a row of the table."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import NewPartitions
from fault_checks import accounted, delivered, equal, parity
from fault_stage import Stage, stopped
from fault_table import Result
from lane_orders import Bad, Copy, Good, broken, order
from psutil import NoSuchProcess, Process

from tidemark.admin import admin

PAUSE = 20.0
"""Seconds for which a service is stopped or silent: longer than the lease, shorter than the time-out of a socket."""
GRACE = 30.0
"""I6: a batch is finished within so many seconds of a fault's end."""


@dataclass(frozen=True)
class Case:
    """`act` does the harm and mends it, while events flow. `lasting`: what it changed stays, so once is enough."""

    row: str
    fault: str
    when: str
    act: Callable[[Stage], None]
    expected: str = "the lane goes on by itself; nothing lost or counted twice"
    invariants: str = "I1–I7"
    lasting: bool = False
    sets_back: bool = False

    def result(self) -> Result:
        return Result(self.row, self.fault, self.when, self.expected, self.invariants)

    def run(self, stage: Stage, spark: Any, result: Result, rounds: int) -> None:
        """Raises AssertionError naming the invariant that does not hold."""
        begun = len(stage.lines)
        with ExitStack() as stack:
            watched = None if self.sets_back else stack.enter_context(stage.watched(spark))
            for _ in range(1 if self.lasting else rounds):
                with stage.flow():
                    stage.batches(1)
                    self.act(stage)
                    healed, held = stage.clock(), len(stage.lines)
                    stage.send(20)
                    stage.until(lambda held=held: len(stage.lines) > held)
                    if not self.lasting:
                        result.recovered.append(stage.clock() - healed)
                result.caught_up = max(result.caught_up or 0.0, stage.caught_up())
        repaired = sum(line["repair"] for line in stage.lines[begun:])
        if repaired:
            result.note = f"{repaired} batches replayed"
        check("I5", watched.stop() if watched else [])
        check("I4", parity(stage.world, stage.plan(spark)))
        check("I1–I3", equal(stage.world, stage.plan(spark)))
        check("I7", accounted(stage.world, stage.past + stage.lines, whole=not stage.past))
        check("acknowledged", delivered(stage.world))
        assert max(result.recovered, default=0.0) <= GRACE, "I6: took longer than the grace"


def check(invariant: str, wrong: list[str]) -> None:
    assert not wrong, f"{invariant}: {len(wrong)} wrong, such as {wrong[0]}"


def nothing(_: Stage) -> None:
    """The control: no fault at all."""


def redis_killed(stage: Stage) -> None:
    stage.redis.kill()
    time.sleep(stage.rng.uniform(0.2, 2))
    stage.redis.start()


def redis_older(stage: Stage) -> None:
    """Copies its append-only file, lets batches pass, and starts it again on the copy."""
    kept = stage.redis.directory / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    held = [path for path in stage.redis.directory.iterdir() if path.name.startswith("appendonly")]
    for path in held:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, kept / path.name)
    stage.send(100)
    stage.batches(2)
    stage.redis.kill()
    for path in held:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.move(kept / path.name, path)
    stage.redis.start()


def redis_stopped(stage: Stage) -> None:
    assert stage.redis.process
    with stopped(stage.redis.process.pid):
        time.sleep(PAUSE)


def resets(stage: Stage) -> None:
    for _ in range(5):
        stage.until(stage.proxy.reset)
        stage.send(10)
        time.sleep(stage.rng.uniform(0.1, 0.8))


def cut(stage: Stage) -> None:
    """The next replies end in the middle of one, on one connection."""
    cuts = stage.proxy.cuts
    stage.proxy.cut_after = stage.rng.randint(500, 5_000)
    stage.send(60)
    stage.until(lambda: stage.proxy.cuts > cuts)


def slow(stage: Stage) -> None:
    stage.proxy.delay = 0.2
    time.sleep(PAUSE / 2)
    stage.proxy.delay = 0.0


def silent(stage: Stage) -> None:
    stage.proxy.silent = True
    time.sleep(PAUSE)
    stage.proxy.silent = False


def worker_killed(stage: Stage) -> None:
    """SIGKILL of every Python worker, while they work."""
    assert stage.child
    stage.send(100)
    killed = 0
    for process in Process(stage.child.process.pid).children(recursive=True):
        try:
            if "pyspark.worker" in process.cmdline() and "pyspark.daemon" in process.parent().cmdline():
                process.kill()
                killed += 1
        except (NoSuchProcess, AttributeError):
            continue  # gone, or its parent is
    assert killed


def broker_killed(stage: Stage) -> None:
    assert stage.broker
    stage.broker.kill()
    time.sleep(stage.rng.uniform(0.2, 2))
    stage.broker.start(120)


def broker_stopped(stage: Stage) -> None:
    assert stage.broker
    at = stage.broker.running()
    assert at
    with stopped(at.pid):
        time.sleep(PAUSE)


def resend(stage: Stage) -> None:
    known = [m for m, about in stage.world.sent if isinstance(about, Good) and m.topic == stage.topic]
    stage.world.send([("orders", m.partition, m.value, Copy()) for m in known[-100:]])


def shuffled(stage: Stage) -> None:
    """Three hours of events in no order at all: longer than the longest window."""
    orders = stage.wave(300, span=180, hostile=False)
    stage.rng.shuffle(orders)
    stage.world.send(orders)


def of_2099(stage: Stage) -> None:
    late = order(stage.rng, 10**12 + stage.rng.randrange(10**9), 4_085_000_000_000)
    stage.world.send([("orders", 0, json.dumps(late).encode(), Bad("event time more than"))])


def poison(stage: Stage) -> None:
    rng, now = random.Random(stage.rng.random()), int(time.time() * 1000)
    whole = order(rng, 10**12 + rng.randrange(10**9), now)
    spoiled = [broken(rng, whole, now) for _ in range(100)] + [(b"x" * 1_900_000, "not a json")]
    stage.world.send([("orders", rng.randrange(3), value, Bad(reason)) for value, reason in spoiled])


def more_partitions(stage: Stage) -> None:
    stage.caught_up()
    client = admin(stage.world.kafka)  # held: without it its answers do not come
    for future in client.create_partitions([NewPartitions(stage.topic, 6)]).values():
        future.result(30)
    stage.partitions = 6
    time.sleep(3)
    stage.send(200)


LIVE = [
    Case("F0", "none (control)", "–", nothing, "nothing happens"),
    Case("F2e", "SIGKILL of all Python workers", "inside a batch", worker_killed),
    Case("F4", "SIGKILL of the broker, started again", "under load, idempotent producer", broker_killed),
    Case("F5", f"SIGSTOP of the broker for {PAUSE:.0f} s", "under load", broker_stopped),
    Case("F6a", "SIGKILL of Redis, started again on its file", "inside a batch", redis_killed),
    Case(
        *("F6b", "Redis comes back as it was some batches ago", "under load", redis_older),
        "noticed at the next batch, which replays what is missing",
        "I1–I4, I6, I7",
        sets_back=True,
    ),
    Case("F7a", f"SIGSTOP of Redis for {PAUSE:.0f} s", "under load", redis_stopped),
    Case("F7b", "five resets of all connections to Redis", "under load", resets),
    Case("F7c", "connection reset in the middle of a reply of Redis", "inside a pipeline", cut),
    Case("F7d", f"200 ms of latency to Redis for {PAUSE / 2:.0f} s", "under load", slow),
    Case("F7e", f"no byte to or from Redis for {PAUSE:.0f} s", "under load", silent),
    Case(
        "F9",
        "the last 100 events sent again",
        "within the horizon",
        resend,
        "dropped, and counted",
        lasting=True,
    ),
    Case(
        *("F10", "3 h of events in random order", "one wave", shuffled),
        "every event counts that a window still covers; the others are counted as too late",
        lasting=True,
    ),
    Case(
        "F11", "an event of the year 2099", "one message", of_2099, "quarantined; nothing moves", lasting=True
    ),
    Case(
        *("F12", "101 broken messages, one of 1.9 MB", "one wave", poison),
        "quarantined, each with its reason",
        lasting=True,
    ),
    Case(
        *("F13", "partitions of the topic 3 → 6", "drained, then under load", more_partitions),
        "read from the first message on",
        lasting=True,
    ),
]
