"""tidemark plan beside what runs: a real Redis, a real broker, and a lane that then does what was told."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions
from feast import Field
from feast.types import Float64
from feast_repos import register
from repo_parts import USER, aggregation, view

from streaming.definitions import load
from streaming.definitions.changes import Grown, whole_at
from streaming.errors import TidemarkError
from streaming.redis import meta
from streaming.redis.bulk import Bulk, RedisTarget
from tidemark.admin import admin
from tidemark.broker import ready
from tidemark.cli import main
from tidemark.deployed import Deployed, Stored, ask

sys.path.append(str(Path(__file__).parents[1] / "lane"))
MINUTE = 60_000


def test_the_lane_does_what_the_plan_told(
    tmp_path: Path, kafka: str, redis_server: str, topic: Callable[..., str], spark
) -> None:
    from lane_orders import wave
    from lane_world import World

    world = World.make(tmp_path / f"shop_{uuid.uuid4().hex[:8]}", kafka, redis_server, topic)
    now = int(time.time() * 1000)
    world.send(wave(1, 60, now - 100 * MINUTE, now - 2 * MINUTE))

    def told() -> Deployed:
        return ask(world.plan(spark, ["user_orders"]), str(tmp_path / "history"), str(world.checkpoint))

    with pytest.raises(TidemarkError, match="is no checkpoint of a lane"):
        told()
    assert not world.checkpoint.exists()
    world.run(spark, views=["user_orders"])
    assert told().changes[0].changes == ()
    assert told().stored[0].held == ()

    world.apply(wider=True)
    plan = world.plan(spark, ["user_orders"])
    (view,) = plan.views
    needs = {c.feature: c for c in told().changes[0].changes}
    assert {name: c.need for name, c in needs.items()} == {
        "amount_sum_14400_600": "backfill",
        "amount_sum_600_10": "backfill",
        "points_max_7200_600": "backfill",
    }
    world.run(spark, views=["user_orders"])
    with Bulk(RedisTarget(plan.redis)) as bulk:
        since = meta.load(bulk, plan.project, view.stored_name).complete_since
    for feature in view.features:
        if feature.name in needs:
            at = needs[feature.name].whole_at
            assert abs(whole_at(feature.window, since[feature.name]) - at) <= max(
                MINUTE, feature.window.slide
            )
    assert {c.what for c in told().changes[0].changes} == {"fills up"}

    client, name = admin(kafka), world.given["orders"]
    client.create_partitions([NewPartitions(name, 5)])[name].result(30)
    ready(client, {name: 5})
    assert told().grown == (Grown(name, 3, 5),)


def test_what_the_command_prints(
    tmp_path: Path, redis_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = f"plan_{uuid.uuid4().hex[:8]}"
    store = {"type": "serving.online_store.TiledRedisOnlineStore", "connection_string": redis_server}
    held = register(tmp_path, USER, view(), project=project, online_store=store)
    plan = load(held)

    def run(*more: str) -> str:
        with pytest.raises(SystemExit) as done:
            main(["plan", "--repo", str(tmp_path), "--history", str(tmp_path / "history"), *more])
        assert not done.value.code
        return " ".join(capsys.readouterr().out.split())

    assert "v: nothing known: the lane reads its topics from their beginning" in run()
    with Bulk(RedisTarget(redis_server)) as bulk:
        meta.save(bulk, plan.views[0], {"f": 0})
    assert "Nothing changes in what runs." in run()
    two = (aggregation(), aggregation("max", name="g"))
    schema = [Field(name=name, dtype=Float64) for name in "fg"]
    register(tmp_path, USER, view(*two, schema=schema), project=project, online_store=store)
    out = run()
    assert "v g new backfill 20" in out
    assert "this fills it now: tidemark rebuild --views v" in out
    told = json.loads(run("--json"))["changes"]
    assert [(c["feature"], c["need"]) for c in told["changes"][0]["changes"]] == [("g", "backfill")]


def test_without_redis(tmp_path: Path) -> None:
    away = {"type": "serving.online_store.TiledRedisOnlineStore", "connection_string": "127.0.0.1:1"}
    told = ask(load(register(tmp_path, USER, view(), online_store=away)), str(tmp_path / "history"))
    assert told.changes == ()
    (silent,) = told.silent
    assert silent.startswith("nothing known of the rings: ")
    assert [Stored("v", "b", held).need for held in ((), ("b", "a"), ("a", "b"))] == [
        "nothing",
        "nothing",
        "backfill",
    ]
    assert Stored("v", "", ("a",)).need == "unknown"
