"""The lane is killed in the middle of a batch, its storage goes away, and its days are looked after."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from history_world import History, running, until
from lane_child import child, fired
from lane_orders import Bad, Good, wave
from pyspark.sql import functions as F

from streaming.archive.upkeep import Upkeep
from streaming.sinks.delta import DeltaFolder
from tidemark.jars import spark_jars

MINUTE = 60_000


def places(history: History) -> tuple[Counter, Counter]:
    """What was sent that is good, and bad."""
    good: Counter = Counter((m.partition, m.offset) for m, a in history.world.sent if isinstance(a, Good))
    bad: Counter = Counter((m.partition, m.offset) for m, a in history.world.sent if isinstance(a, Bad))
    return good, bad


def kept(history: History) -> tuple[Counter, Counter]:
    return (
        Counter((r._partition, r._offset) for r in history.rows("events/orders")),
        Counter((r._partition, r._offset) for r in history.rows("quarantine")),
    )


@pytest.mark.chaos
def test_killed_in_the_middle_of_a_batch(history: History, tmp_path: Path) -> None:
    """Between two tables of a batch, after its last one and by SIGKILL; the last start is by spark-submit."""
    world, now = history.world, int(time.time() * 1000)
    world.send(wave(21, 700, now - 90 * MINUTE, now - MINUTE))
    size = ("--history", str(history.folder), "--max-events", "200", "--trigger", "0", "--windows", "none")
    environment = {
        "TIDEMARK_FAILPOINTS_DIR": str(tmp_path / "points"),
        "TIDEMARK_HISTORY_SESSIONS": "false",
        "TIDEMARK_HISTORY_STATE": "memory",
        "TIDEMARK_HISTORY_PARTITIONS": "2",
    }
    history_command = (sys.executable, "-m", "tidemark.cli", "stream", "history")

    def lane(*options: str, **more: str):
        return child(world, *size, *options, command=history_command, **environment, **more)

    with lane("--until-caught-up", TIDEMARK_FAILPOINTS="between-tables:2,arrivals-commit:3") as first:
        assert first.wait() == 137
        assert fired(tmp_path / "points") == {"between-tables"}, first.said
    with lane(TIDEMARK_FAILPOINTS="arrivals-commit:2") as second:
        assert second.wait() == 137, second.said
    with lane() as third:
        third.until(lambda: third.lines)
        third.kill()
    submit = str(Path(sys.executable).with_name("spark-submit"))
    jars = ",".join(str(jar) for jar in spark_jars())
    delta = (
        "--conf",
        "spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension",
        "--conf",
        "spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog",
    )
    script = str(Path(__file__).parents[2] / "streaming" / "jobs" / "history.py")
    command = (submit, "--master", "local[2]", "--driver-memory", "1g", "--jars", jars, *delta, script)
    with child(world, *size, "--until-caught-up", command=command, **environment) as last:
        assert last.wait() == 0, last.said
        assert all(line.get("unaccounted", 0) == 0 for line in last.lines)
    assert kept(history) == places(history)


def test_storage_that_goes_away(history: History, tmp_path: Path) -> None:
    """The lane waits for it, and catches up by itself; so does one further sink while the other goes on."""
    world, now = history.world, int(time.time() * 1000)
    lake, away = tmp_path / "lake", tmp_path / "away"
    away.write_text("not a folder yet")
    history.folder.write_text("in the way")
    world.send(wave(22, 150, now - 60 * MINUTE, now - MINUTE))
    sinks = f"parquet:{lake} parquet:{away}"
    with running(history.lane(history_sinks=sinks)) as raised:
        time.sleep(3)
        assert not raised
        assert not history.lines
        history.folder.unlink()
        good, _ = places(history)
        until(lambda: lake.exists() and (lake / "events" / "orders").exists())
        until(lambda: _count(history, lake) == good.total())
        assert kept(history) == places(history)
        away.unlink()
        until(lambda: _count(history, away) == good.total())
        assert not raised


def _count(history: History, folder: Path) -> int:
    orders = folder / "events" / "orders"
    if not any(orders.glob("sink_batch=*")):
        return 0
    return history.spark.read.parquet(str(orders)).count()


def test_compaction_and_retention(history: History) -> None:
    """Past days are few files, old ones are gone, and a reader sees the same rows before and after."""
    world = history.world
    day = 86_400_000
    now = int(time.time() * 1000)
    for seed in (31, 32, 33):
        world.send(wave(seed, 40, now - day - 60 * MINUTE, now - day, hostile=False))
        world.send(wave(seed + 10, 20, now - 5 * day, now - 5 * day + MINUTE, hostile=False))
        history.run()
    rows = history.table("events/orders")
    yesterday = F.col("event_date") >= F.lit(datetime.fromtimestamp(now / 1000 - 3 * 86_400, UTC).date())
    before = {(r._partition, r._offset) for r in rows.where(yesterday).collect()}
    assert rows.where(~yesterday).count() > 0
    folder = DeltaFolder(str(history.folder))
    upkeep = Upkeep(history.spark, folder, 3, 168.0, lambda: now / 1000)
    tables = history_tables(history)
    done = upkeep.run(tables)
    assert done["events/orders"]["removed"] > done["events/orders"]["added"] > 0
    held = history.table("events/orders")
    assert {(r._partition, r._offset) for r in held.collect()} == before
    days = held.select("event_date").distinct().count()
    assert held.select(F.input_file_name()).distinct().count() == days
    assert DeltaTable.forPath(history.spark, folder.path("events/orders")).history(1).first() is not None
    # The lane goes on, and what was deleted does not come back.
    world.send(wave(40, 30, now - 60 * MINUTE, now - MINUTE, hostile=False))
    history.run()
    assert history.table("events/orders").count() == len(before) + 30


def history_tables(history: History) -> list[tuple[str, str]]:
    return [("events/orders", "event_date"), ("quarantine", "date"), ("windows/never/1h_1h", "date")]
