"""Faults of what is kept: checkpoint, topic, tables, definitions, registry. Each a row of the table with a lane of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import TopicPartition
from fault_cases import check
from fault_checks import equal
from fault_server import Server
from fault_stage import QUICK
from fault_table import Result
from history_world import History, running, until
from lane_child import child, fired
from lane_orders import Bad, Copy, Good, events_of, served, wave, wrong

from serving.deletion import delete_plan, delete_project
from streaming.checkpoint import Checkpoint
from streaming.errors import TidemarkError
from streaming.history.rebuild import Rebuild
from tidemark.admin import admin

MINUTE = 60_000
VIEWS = list(QUICK)


@dataclass(frozen=True)
class Store:
    """`act` does the harm and checks what comes of it; it returns what the row notes."""

    row: str
    fault: str
    when: str
    act: Callable[[History, Any], str | None]
    expected: str
    invariants: str

    def result(self) -> Result:
        return Result(self.row, self.fault, self.when, self.expected, self.invariants)

    def run(self, history: History, spark: Any, result: Result) -> None:
        """Raises AssertionError naming the invariant that does not hold."""
        result.note = self.act(history, spark) or ""


def send(history: History, count: int, number: int = 1) -> None:
    now = int(time.time() * 1000)
    history.world.send(wave(number, count, now - 60 * MINUTE, now - MINUTE))


def online(history: History, spark: Any) -> list[dict[str, Any]]:
    return history.world.run(spark, views=VIEWS, max_events=150, backoff_seconds=0.2)


def right(history: History, spark: Any) -> None:
    check("I1–I3", equal(history.world, history.world.plan(spark, VIEWS)))


def refused(history: History, spark: Any, *words: str) -> str:
    """I9: the lane ends with an error that names these; which one."""
    before = stored(history)
    began = time.monotonic()
    with pytest.raises(TidemarkError) as error:
        online(history, spark)
    said = " ".join(str(error.value).split())
    assert all(word in said for word in words), f"I9: {said}"
    assert stored(history) == before, "I9: something was written"
    return f"{type(error.value).__name__} after {time.monotonic() - began:.0f} s"


def stored(history: History) -> dict[bytes, Any]:
    """Every ring of the lane."""
    host, port = history.world.redis.split(":")
    client = redis.Redis(host, int(port))
    project = history.world.project.encode()
    keys = [key for key in client.scan_iter(count=1000) if key.endswith(project)]
    return {key: client.hgetall(key) for key in keys}


def emptied(history: History, spark: Any) -> str:
    send(history, 400)
    online(history, spark)
    history.run()
    host, port = history.world.redis.split(":")
    delete_project(redis.Redis(host, int(port)), history.world.project)
    send(history, 100, 2)
    history.run()
    said = refused(history, spark, "run `tidemark rebuild`")
    kept(history)
    began = time.monotonic()
    plan, held = history.world.plan(spark, VIEWS), Checkpoint(str(history.world.checkpoint))
    folder, archive = str(history.folder), str(history.checkpoint)
    rebuild = Rebuild(plan, held, history.world.settings(), spark, folder, archive, every=True)
    rebuild.run(lambda: delete_plan(history.world.repo, plan))
    seconds = time.monotonic() - began
    online(history, spark)
    right(history, spark)
    return f"{said}; rebuilt in {seconds:.0f} s"


def retention(history: History, spark: Any) -> str:
    send(history, 300)
    online(history, spark)
    send(history, 300, 2)
    topic = history.world.given["orders"]
    ends = Counter({m.partition: m.offset for m, _ in history.world.sent})
    gone = [TopicPartition(topic, partition, last - 5) for partition, last in ends.items()]
    client = admin(history.world.kafka)  # held: without it its answers do not come
    for future in client.delete_records(gone).values():
        future.result(30)
    return refused(history, spark, "no longer has messages")


def last(history: History, folder: str) -> Path:
    files = [p for p in (history.world.checkpoint / "spark" / folder).iterdir() if p.name.isdigit()]
    return max(files, key=lambda path: int(path.name))


def offsets_cut(history: History, spark: Any) -> str:
    send(history, 400)
    online(history, spark)
    file = last(history, "offsets")
    file.write_bytes(file.read_bytes()[:20])
    send(history, 200, 2)
    return refused(history, spark, "the checkpoint is damaged", "`tidemark rebuild`")


def commit_gone(history: History, spark: Any) -> str:
    send(history, 400)
    online(history, spark)
    last(history, "commits").unlink()
    send(history, 200, 2)
    lines = online(history, spark)
    again = sum(view["replayed"] for view in lines[0]["views"].values())
    assert again, "the batch was not run again"
    right(history, spark)
    return f"batch {lines[0]['batch']} again, {again} rings left alone"


def checkpoint_gone(history: History, spark: Any) -> str:
    send(history, 300)
    online(history, spark)
    shutil.rmtree(history.world.checkpoint)
    return refused(history, spark, "belong to another checkpoint", "tidemark stream reset")


def copies(history: History) -> None:
    """Copies of what came before."""
    known = [m for m, about in history.world.sent if isinstance(about, Good)][-50:]
    history.world.send([("orders", m.partition, m.value, Copy()) for m in known])


def ledger_gone(history: History, spark: Any) -> str:
    send(history, 300)
    online(history, spark)
    shutil.rmtree(history.world.checkpoint / "ledger")
    copies(history)
    return refused(history, spark)


def ids_gone(history: History, spark: Any) -> str:
    send(history, 300)
    online(history, spark)
    shutil.rmtree(history.world.checkpoint / "seen")
    copies(history)
    return refused(history, spark, "tidemark stream reset")


def wider(history: History, spark: Any) -> str:
    """New windows over an old checkpoint: old rings are read, and nothing partial is served as if it were whole."""
    world, now = history.world, int(time.time() * 1000)
    send(history, 300)
    world.run(spark, views=["user_orders"])
    before = {f.name for f in world.plan(spark, ["user_orders"]).views[0].features}
    world.apply(wider=True)
    send(history, 200, 2)
    world.run(spark, views=["user_orders"])
    (view,) = world.plan(spark, ["user_orders"]).views
    now = int(time.time() * 1000)
    faults = wrong(world, view, lambda _: now)
    assert all(" None instead of " in text for text in faults), "a partial number was served"
    assert not any(f" {name} at " in text for text in faults for name in before), (
        "an old feature has gone wrong"
    )
    check("I1–I3 later", wrong(world, view, lambda _: now + 300 * MINUTE))
    return f"{len({f.name for f in view.features} - before)} features added"


def newer(history: History, spark: Any) -> str:
    send(history, 300)
    online(history, spark)
    host, port = history.world.redis.split(":")
    client = redis.Redis(host, int(port))
    for key, fields in stored(history).items():
        if header := fields.get(b"_ring:pair_orders"):
            client.hset(key, "_ring:pair_orders", bytes([header[0] + 1]) + header[1:])
    send(history, 200, 2)
    with pytest.raises(TidemarkError, match=r"unknown version.*`tidemark stream reset --views pair_orders`"):
        online(history, spark)
    return "the error names the view and the remedy"


def places(history: History) -> tuple[Counter, Counter]:
    """What was sent that is good, and bad."""
    good: Counter = Counter((m.partition, m.offset) for m, a in history.world.sent if isinstance(a, Good))
    bad: Counter = Counter((m.partition, m.offset) for m, a in history.world.sent if isinstance(a, Bad))
    return good, bad


def kept(history: History) -> None:
    """I1 and I2 of history: every event and every broken message once."""
    events: Counter = Counter((r._partition, r._offset) for r in history.rows("events/orders"))
    broken: Counter = Counter((r._partition, r._offset) for r in history.rows("quarantine"))
    assert (events, broken) == places(history), "I1, I2: the tables are not what was sent"


def history_at(point: str) -> Callable[[History, Any], None]:
    """The history lane's driver ends at a failpoint; the next one takes up its batch."""

    def act(history: History, spark: Any) -> None:
        send(history, 400)
        name, _, _ = point.partition(":")
        points = history.folder.parent / "points"
        environment = {
            "TIDEMARK_FAILPOINTS": point,
            "TIDEMARK_FAILPOINTS_DIR": str(points),
            "TIDEMARK_HISTORY_SESSIONS": "false",
            "TIDEMARK_HISTORY_PARTITIONS": "2",
        }
        command = (sys.executable, "-m", "tidemark.cli", "stream", "history")
        options = (
            "--history",
            str(history.folder),
            "--max-events",
            "150",
            "--trigger",
            "0",
            "--windows",
            "none",
            "--views",
            ",".join(VIEWS),
        )
        place = ("--checkpoint", str(history.checkpoint))
        with child(history.world, *options, *place, command=command, **environment) as lane:
            assert lane.wait() == 137, lane.said
            assert fired(points) == {name}
        history.run(history_max_events=150, history_partitions=2)
        kept(history)

    return act


def disk_full(history: History, _: Any) -> str:
    """The tables are on a small file system of their own."""
    history.folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(history.folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        send(history, 800)
        with running(history.lane(history_max_events=300)) as raised:
            time.sleep(12)
            assert sum(sum(line.get("read", {}).values()) for line in history.lines) < 800, (
                "it never was full"
            )
            assert not raised, raised
            subprocess.run(["mount", "-o", "remount,size=64m", str(history.folder)], check=True)
            began = time.monotonic()
            due = len(history.world.sent)
            until(lambda: sum(sum(line.get("read", {}).values()) for line in history.lines) >= due or raised)
            assert not raised, raised
            seconds = time.monotonic() - began
        kept(history)
    finally:
        subprocess.run(["umount", "-l", str(history.folder)], check=True)
    return f"went on {seconds:.0f} s after there was room"


def part_cut(history: History, _: Any) -> None:
    """Half of a Parquet file lies in the table's folder, as a writer that was killed leaves it."""
    send(history, 200)
    history.run()
    part = next((history.folder / "events" / "orders").rglob("*.parquet"))
    part.with_name("part-99999-cut.snappy.parquet").write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    kept(history)
    send(history, 100, 2)
    history.run()
    kept(history)


def feature_server(history: History, spark: Any) -> str:
    """`feast serve` is killed and started again; then the registry is written anew under it."""
    send(history, 300)
    online(history, spark)
    world, (view, *_) = history.world, history.world.plan(spark, VIEWS).views
    keys = sorted(events_of(world, view))[:20]

    def asked(server: Server) -> list[dict[str, Any]]:
        world.now = int(time.time() * 1000)
        before = served(world, view, keys)
        got = server.ask(view, keys)
        world.now = int(time.time() * 1000)
        assert got in (before, served(world, view, keys)), "a wrong value was served"
        return got

    with Server(world.repo) as server:
        asked(server)
        server.kill()
        seconds = server.start()
        asked(server)
        for _ in range(3):
            world.apply()
            asked(server)
    assert seconds < 5, f"reads recover after {seconds:.1f} s, not within 5 s"
    return f"reads recover after {seconds:.1f} s"


SURE = "refuses, writes nothing, names the remedy"
STORES = [
    Store(
        "F6c",
        "Redis was emptied",
        "between two runs",
        emptied,
        f"{SURE}; `tidemark rebuild` makes it whole",
        "I1–I3, I9",
    ),
    Store("F14", "retention deletes unread messages", "between two runs", retention, SURE, "I9"),
    Store("F15a", "the checkpoint's last offsets file is cut", "between two runs", offsets_cut, SURE, "I9"),
    Store(
        "F15b",
        "the last commit file is gone",
        "between two runs",
        commit_gone,
        "the batch is run again, rings are left alone",
        "I1–I3",
    ),
    Store("F15c", "the checkpoint is gone", "between two runs", checkpoint_gone, SURE, "I9"),
    Store(
        "F15d",
        "the ledger is gone, and copies come of what was there",
        "between two runs",
        ledger_gone,
        SURE,
        "I9",
    ),
    Store(
        "F15e",
        "the event ids of the horizon are gone, and copies come",
        "between two runs",
        ids_gone,
        SURE,
        "I9",
    ),
    Store(
        "F16",
        "windows are added over an old checkpoint",
        "between two runs",
        wider,
        "old layouts are read; new features are null until whole",
        "I1–I3",
    ),
    Store("F22", "rings of a newer version", "between two runs", newer, SURE, "I9"),
    Store(
        "F2g",
        "the history lane's driver ends",
        "between two tables of a batch",
        history_at("between-tables:2"),
        "the next one writes what is missing",
        "I1, I2",
    ),
    Store(
        "F2h",
        "the history lane's driver ends",
        "after the last table, before the commit",
        history_at("arrivals-commit:2"),
        "the next one doubles nothing",
        "I1, I2",
    ),
    Store(
        "F18",
        "the disk of the tables is full",
        "inside a batch",
        disk_full,
        "waits, and goes on when there is room",
        "I1, I2, I6",
    ),
    Store(
        "F19",
        "half of a Parquet file in a table",
        "between two runs",
        part_cut,
        "no reader sees it",
        "I1, I2",
    ),
    Store(
        "F20",
        "feature server killed; registry written anew",
        "while it is read",
        feature_server,
        "reads recover within 5 s, no wrong value",
        "I3",
    ),
]
