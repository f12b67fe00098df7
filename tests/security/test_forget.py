"""An entity erased from Redis, history and topics; everybody else's data as it was."""

from __future__ import annotations

import json
import random
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))
sys.path.insert(0, str(Path(__file__).parents[1] / "history_lane"))

from history_world import History
from lane_orders import Bad, Good, order
from lane_world import World, read_topic

from serving.deletion import delete_entity, entity_left
from streaming.checkpoint import Checkpoint
from streaming.errors import DefinitionError
from streaming.history import parity_runs
from streaming.history.parity_runs import Result, Run
from tidemark.admin import admin
from tidemark.commands.forget import forget, reached
from tidemark.log_eraser import naming

GONE, KEPT = "user 1", "user 10"


def orders(now: int):
    rng = random.Random(1)
    for n in range(60):
        values = order(rng, n, now - n * 1000, user_id=(GONE, KEPT)[n % 2], shop_id=n % 3 + 1)
        yield "orders", n % 2, json.dumps(values).encode(), Good(now, values)
    for user in (GONE, KEPT):
        values = order(rng, 100, now, user_id=user, shop_id=1, amount="much")
        yield "orders", 0, json.dumps(values).encode(), Bad("not a json")
        visit = {
            "user_id": user,
            "event_time": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now / 1000))}",
            "seconds": 2,
        }
        yield "visits", 0, json.dumps(visit).encode(), Good(now, visit)


def feature_table(root: Path) -> Path:
    """As backfill writes it: one file of both users, one of the one to forget alone."""
    folder = root / "features" / "user_orders" / "event_date=2026-03-01"
    folder.mkdir(parents=True)
    for name, users in (("a", [GONE, KEPT, GONE]), ("b", [GONE])):
        pq.write_table(pa.table({"user_id": users, "n": list(range(len(users)))}), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def history(tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str], spark) -> History:
    spark.conf.set("spark.databricks.delta.snapshotPartitions", "1")
    world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
    return History(world, spark, tmp_path / "history", tmp_path / "history-checkpoint")


def test_nothing_of_the_entity_is_left_and_nothing_else_is_missing(
    history: History, spark, kafka: str
) -> None:
    world, now = history.world, int(time.time() * 1000)
    world.send(orders(now))
    world.run(spark)
    history.run(updates=True)
    features = feature_table(history.folder)
    parity_runs.keep(
        str(history.folder),
        Run(
            "2026-03-01T00:00:00+00:00",
            1,
            0,
            [Result("v", "f", 1, 0, 1, 0, 0.5, {}, f"{{'user_id': '{GONE}'}} at 5")],
        ),
    )
    compaction = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    compacted = ConfigResource(ResourceType.TOPIC, world.updates, incremental_configs=[compaction])
    client = admin(kafka)
    client.incremental_alter_configs([compacted])[compacted].result(15)
    kept = {name: count(history, name, KEPT) for name in ("events/orders", "events/visits", "feature_log")}
    assert min(kept.values()) > 0

    plan = world.plan(spark)
    bound = reached(plan, Checkpoint(str(world.checkpoint)), Checkpoint(f"{history.checkpoint}/arrivals"))
    done = forget(world.repo, plan, spark, str(history.folder), world.settings(), "user_id", GONE, bound)

    # user_orders and user_visits share a hash; the pairs with three shops have one each.
    assert (done["online"], done["online_left"]) == (4, 0)
    tables = {table["table"]: table for table in done["tables"]}
    assert {name: t["rows"] for name, t in tables.items() if t["rows"]} == {
        "events/orders": 30,
        "events/visits": 1,
        "quarantine": 1,
        "feature_log": tables["feature_log"]["rows"],
        "features/user_orders": 3,
    }
    assert tables["feature_log"]["rows"] > 0
    assert {(t["left"], t["old_files"]) for t in tables.values()} == {(0, 0)}
    assert {name: count(history, name, KEPT) for name in kept} == kept
    assert pq.read_table(features / "a.parquet", partitioning=None).to_pydict() == {
        "user_id": [KEPT],
        "n": [1],
    }
    assert not (features / "b.parquet").exists()
    (run,) = parity_runs.kept(str(history.folder))
    assert (run.results[0].example, run.results[0].mismatched) == ("", 1)

    topics = {topic["topic"]: topic for topic in done["topics"]}
    sources = [topics[world.given[name]] for name in ("orders", "visits")]
    assert [topic["messages"] for topic in sources] == [31, 1]
    assert [topic["left"] for topic in sources] == [0, 0]
    assert "tombstone" in topics[world.updates]["erased"]
    assert [m for m in read_topic(kafka, world.updates) if m.key == GONE.encode() and m.value is None]

    read = world.store().get_online_features(
        ["user_orders:all_count_7200_600"], [{"user_id": GONE}, {"user_id": KEPT}], full_feature_names=False
    )
    assert read.to_dict()["all_count_7200_600"] == [None, 30]
    again = forget(world.repo, plan, spark, str(history.folder), world.settings(), "user_id", GONE, None)
    assert again["online"] == sum(table["rows"] for table in again["tables"]) == 0


def count(history: History, table: str, user: str) -> int:
    rows = history.rows(table)
    return sum(
        user == (json.loads(r.entity).get("user_id") if table == "feature_log" else r.user_id) for r in rows
    )


def test_a_lane_that_is_behind_keeps_the_log_it_has_not_read(history: History, spark) -> None:
    world, now = history.world, int(time.time() * 1000)
    world.send(list(orders(now))[:4])
    plan = world.plan(spark)
    behind = Checkpoint(str(world.checkpoint))
    assert reached(plan, behind, behind) == {source.topic: {} for source in plan.sources}
    done = forget(world.repo, plan, spark, str(history.folder), world.settings(), "user_id", GONE, {})
    assert done["tables"] == []
    client = world.store()._get_provider().online_store._get_client(world.store().config.online_store)
    assert delete_entity(client, plan, "shop_id", "7") == entity_left(client, plan, "shop_id", "7") == 0
    with pytest.raises(DefinitionError, match="no view has the join key city: choose from shop_id, user_id"):
        forget(world.repo, plan, spark, str(history.folder), world.settings(), "city", "x", None)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'{"user_id":"U1"}', True),
        (b"U1", True),
        (b'{"user_id":"U10"}', False),
        (b'{"user_id":"XU1","note":"U1-2"}', False),
        (b'{"user_id":"U1', True),
        (b'["U10","U1"]', True),
    ],
)
def test_an_entity_is_found_as_a_word(text: bytes, named: bool) -> None:
    assert naming("U1")(text) is named
