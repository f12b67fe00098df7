"""Faults after which a driver is started again, or must end: each a row of the table, in this order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault_cases import check
from fault_checks import accounted, alike, equal, parity
from fault_stage import NAMES, Stage, end, topics
from fault_table import Result
from lane_child import Child, fired
from lane_world import World
from psutil import Process

from streaming.checkpoint import Checkpoint

KILLS = 5


@dataclass(frozen=True)
class Restart:
    """`act` does the harm, starts what is to be started, and returns what the row notes."""

    row: str
    fault: str
    when: str
    act: Callable[[Stage, Result, Any], str | None]
    expected: str = "started again, it goes on where it stopped"
    invariants: str = "I1–I4, I6, I7"

    def result(self) -> Result:
        return Result(self.row, self.fault, self.when, self.expected, self.invariants)

    def run(self, stage: Stage, spark: Any, result: Result) -> None:
        """Raises AssertionError naming the invariant that does not hold."""
        result.note = self.act(stage, result, spark) or ""
        result.caught_up = stage.caught_up()
        check("I4", parity(stage.world, stage.plan(spark)))
        check("I1–I3", equal(stage.world, stage.plan(spark)))
        check("I7", accounted(stage.world, stage.past + stage.lines, whole=False))


def _first(stage: Stage, began: float, result: Result) -> None:
    """Wait for the first batch of a driver that was started at `began`."""
    stage.until(lambda: stage.lines)
    result.recovered.append(stage.clock() - began)


def term(stage: Stage, result: Result, _: Any) -> str:
    """SIGTERM in the middle of a backlog: the running batch ends, and nothing of it is run again."""
    stage.ensure()
    stage.send(1500)
    stage.batches(2)
    assert stage.child
    checkpoint = Checkpoint(str(stage.world.checkpoint))
    before, told = checkpoint.last_committed(), time.monotonic()
    stage.child.process.terminate()
    assert stage.child.wait(60) == 0, stage.child.said
    seconds = time.monotonic() - told
    held = checkpoint.last_committed()
    assert held - before <= 1, f"{held - before} batches after SIGTERM"
    began = stage.start()
    _first(stage, began, result)
    again = [view for view in stage.lines[0]["views"].values() if view["replayed"]]
    assert not again, "a batch was run again"
    return f"ended after {seconds:.1f} s, {held - before} batch"


def failpoints(stage: Stage, *points: str) -> Path:
    """Start a driver that is to crash at these points; the folder that tells which have been."""
    folder = stage.world.repo.parent / f"points-{time.monotonic_ns()}"
    stage.down()
    stage.start(TIDEMARK_FAILPOINTS=",".join(points), TIDEMARK_FAILPOINTS_DIR=str(folder))
    return folder


def worker_at(point: str) -> Callable[[Stage, Result, Any], None]:
    """A task's process ends at a failpoint; the driver stays."""

    def act(stage: Stage, result: Result, _: Any) -> None:
        name, _, _ = point.partition(":")
        folder = failpoints(stage, point)
        stage.send(600)
        stage.until(lambda: name in fired(folder))
        at, held = stage.clock(), len(stage.lines)
        stage.until(lambda: len(stage.lines) > held)
        result.recovered.append(stage.clock() - at)

    return act


def driver_at(point: str) -> Callable[[Stage, Result, Any], None]:
    """The driver ends at a failpoint, as by SIGKILL, and is started again."""

    def act(stage: Stage, result: Result, _: Any) -> None:
        folder = failpoints(stage, point)
        assert stage.child
        stage.send(600)
        assert stage.child.wait() == 137, stage.child.said
        assert fired(folder)
        _first(stage, stage.start(), result)

    return act


def killed(stage: Stage, result: Result, _: Any) -> None:
    stage.ensure()
    for _round in range(KILLS):
        stage.send(300)
        time.sleep(stage.rng.uniform(0, 3))
        assert stage.child
        stage.child.kill()
        end(stage.child)
        stage.send(20)
        _first(stage, stage.start(), result)


def jvm_killed(stage: Stage, result: Result, _: Any) -> str:
    stage.ensure()
    assert stage.child
    stage.send(300)
    (jvm,) = [p for p in Process(stage.child.process.pid).children() if p.name() == "java"]
    jvm.kill()
    assert stage.child.wait(60) == 1
    assert stage.child.error.startswith("Spark's JVM has ended"), stage.child.said
    _first(stage, stage.start(), result)
    return "exit code 1, one line with the remedy"


def second(stage: Stage, _: Result, __: Any) -> str:
    """A second driver on a checkpoint whose driver works."""
    stage.ensure()
    rival = Child(stage.world, "--views", ",".join(NAMES))
    try:
        with stage.flow():
            assert rival.wait(120) == 1
        assert "is being written by process" in rival.error, rival.said
        assert not rival.lines
    finally:
        end(rival)
    return "the second ends with exit code 1 and says whose the lane is"


def zombie(stage: Stage, result: Result, _: Any) -> str:
    """A driver sleeps for longer than its lease, another takes over, and the first wakes up."""
    stage.ensure()
    old, stage.child = stage.child, None
    assert old
    stage.send(600)
    stage.batches(1)
    os.killpg(old.process.pid, signal.SIGSTOP)
    try:
        time.sleep(6)
        began = stage.start()
        _first(stage, began, result)
        with stage.flow():
            os.killpg(old.process.pid, signal.SIGCONT)
            code = old.wait(120)
        assert code == 1, old.said
        return f"the first ends with exit code 1: “{old.error[:70]}…”"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(old.process.pid, signal.SIGCONT)
        end(old)


def full(stage: Stage, result: Result, _: Any) -> str:
    """Redis is full: it takes no more writes, and evicts nothing."""
    stage.ensure()
    client = stage.redis.client()
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", used // 2)
    assert stage.child
    stage.send(200)
    told = time.monotonic()
    code = stage.child.wait(120)
    seconds, said = time.monotonic() - told, stage.child.error
    client.config_set("maxmemory", 0)
    assert code == 1
    assert "raise maxmemory" in said, stage.child.said
    _first(stage, stage.start(), result)
    return f"exit code 1 after {seconds:.0f} s, says to raise maxmemory"


def undisturbed(stage: Stage, _: Result, spark: Any) -> str:
    """A lane of its own over the same topics, that nothing happens to."""
    stage.ensure()
    stage.caught_up()
    given = stage.world.given

    def topic(partitions: int = 1, name: str = "") -> str:
        return str(given[name]) if name in given else topics(stage.world.kafka, partitions, name)

    control = World.make(
        stage.world.repo.parent / "control",
        stage.world.kafka,
        stage.world.redis,
        topic,
    )
    control.run(spark, views=list(NAMES))
    views = stage.plan(spark, NAMES).views
    check("I1–I3", equal(stage.world, stage.plan(spark, NAMES)))
    check("I8", alike(stage.world, control, views))
    good = len(stage.world.sent)
    return f"{good:,} messages, {sum(len(view.features) for view in views)} features"


RESTARTS = [
    Restart(
        *("F3", "SIGTERM of the driver", "a backlog of 10 batches", term),
        "at most the running batch ends, exit code 0; nothing is run again",
    ),
    Restart(
        *("F2a", "a task's process ends", "inside its pipeline to Redis", worker_at("pipeline:3")),
        "the batch is run again; rings that have it are left alone",
    ),
    Restart(
        *("F2b", "a task's process ends", "between two messages to feature-updates", worker_at("send:100")),
        "the batch is run again; what was sent is sent again",
    ),
    Restart("F2c", "the driver ends", "all rings written, no marker yet", driver_at("marker:3")),
    Restart("F2d", "the driver ends", "marked, not committed by Spark", driver_at("commit:3")),
    Restart("F1", f"SIGKILL of the driver, {KILLS} times", "at random moments", killed),
    Restart(
        "F1b",
        "SIGKILL of Spark's JVM alone",
        "inside a batch",
        jvm_killed,
        "ends loudly; " + Restart.expected,
        "I1–I4, I7, I9",
    ),
    Restart("F8", "Redis is full", "under load", full, "ends loudly; " + Restart.expected, "I1–I4, I7, I9"),
    Restart(
        "F17a", "a second driver on the same checkpoint", "under load", second, "is refused", "I1–I4, I7, I9"
    ),
    Restart(
        *(
            "F17b",
            "the driver sleeps for longer than its lease",
            "another has taken over, under load",
            zombie,
        ),
        "gives way when it wakes up; nothing that it still wrote counts",
        "I1–I4, I7, I9",
    ),
    Restart(
        *("F21", "every fault above, one after the other", "one log, one checkpoint", undisturbed),
        "equal to a lane that nothing happened to",
        "I1–I4, I8",
    ),
]
