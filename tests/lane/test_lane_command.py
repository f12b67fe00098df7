"""Repos the engine has never seen, run as a user runs them, and what the command says when it cannot."""

import json
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic
from feast import FeatureStore
from feast_repos import ROOT, applied
from lane_child import ONLINE, Child
from lane_orders import want, wave
from lane_world import World, iso, send
from redis_server import Server, server

from serving.moment import as_of
from streaming import definitions
from streaming.errors import DefinitionError, FencedError, ServiceError
from streaming.plan import View
from tidemark.admin import admin
from tidemark.broker import ready
from tidemark.jars import spark_jars

MINUTE = 60_000


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    """A Redis for repos whose project has a fixed name."""
    with server(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def named_topic(kafka: str) -> Iterator[Callable[[str, int], None]]:
    """Makes a topic of exactly this name, gone at the end."""
    client, made = admin(kafka), []

    def make(name: str, partitions: int) -> None:
        for future in client.create_topics([NewTopic(name, partitions, 1)]).values():
            future.result(30)
        made.append(name)
        ready(client, {name: partitions})

    yield make
    for future in client.delete_topics(made).values():
        future.result(30)


def online(world: World, command: tuple[str, ...] = ONLINE) -> Child:
    """Run the command until it has caught up."""
    lane = Child(world, "--until-caught-up", command=command, TIDEMARK_KAFKA=world.kafka)
    assert lane.wait() == 0, lane.said
    assert all(view["unaccounted"] == 0 for line in lane.lines for view in line["views"].values())
    return lane


def bike_ride(rng: random.Random, number: int, at: int) -> dict[str, Any]:
    started = (at - rng.randint(60_000, 2_000_000)) // 1000 * 1000
    return {
        "ride_id": f"ride-{number}",
        "bike_id": rng.randint(1, 6),
        "city": rng.choice(["Ghent", "Porto", "test", None]),
        "start_station": rng.choice([None, 10, 20, 30]),
        "end_station": rng.randint(10, 40),
        "rider": rng.choice([None, "ann", "bo", "çem"]),
        "electric": rng.choice([None, True, False]),
        "meters": rng.choice([None, 0.0, rng.uniform(100, 9000)]),
        "battery": rng.choice([None, rng.randint(0, 100)]),
        "started": iso(started),
        "ended": iso(at),
    }


def seen_by_bikes(values: dict[str, Any]) -> dict[str, Any] | None:
    """What the udf of `bike_rides` makes of a ride."""
    if not (values["meters"] or 0) > 0 or values["city"] in (None, "test"):
        return None
    started, ended = (datetime.fromisoformat(values[name]) for name in ("started", "ended"))
    return values | {"minutes": (ended - started).total_seconds() / 60, "started": started}


def compare(store: FeatureStore, view: View, events: dict[tuple, list], now: int) -> None:
    """Every feature of every entity, read through Feast as of `now`."""
    names = [name for name, _ in view.join_keys]
    rows = [dict(zip(names, key, strict=True)) for key in events]
    with as_of(datetime.fromtimestamp(now / 1000, UTC)):
        got = store.get_online_features([f"{view.name}:{f.name}" for f in view.features], rows).to_dict()
    for i, held in enumerate(events.values()):
        for feature in view.features:
            expected = want(feature, held, now)
            precise = 1e-6 if feature.dtype == "FLOAT" else 1e-9
            if isinstance(expected, float):
                expected = pytest.approx(expected, rel=precise, abs=1e-9)
            assert got[feature.name][i] == expected, (rows[i], feature)


def test_a_repo_the_engine_has_never_seen(
    tmp_path: Path, kafka: str, topic: Callable[..., str], named_topic, redis: Server, spark
) -> None:
    now = int(time.time() * 1000)
    named_topic("bike-rides", 2)
    repo = applied(ROOT / "tests" / "other_repo", tmp_path / "bikes", redis.connection)
    world = World(repo, kafka, redis.connection, {}, topic(1, "updates"), topic(1, "dead"))
    rng = random.Random(3)
    rides = [bike_ride(rng, n, now - rng.randint(MINUTE, 170 * MINUTE)) for n in range(400)]
    stored = send(kafka, (("bike-rides", n % 2, json.dumps(ride).encode()) for n, ride in enumerate(rides)))
    lines = online(world).lines
    assert sum(line["read"] for line in lines) == len(rides)

    by_bike: dict[tuple, list] = {}
    by_station: dict[tuple, list] = {}
    for message in sorted(stored, key=lambda m: m.place):
        ride = json.loads(message.value or b"")
        at = int(datetime.fromisoformat(ride["ended"]).timestamp() * 1000)
        if (seen := seen_by_bikes(ride)) is not None:
            by_bike.setdefault((ride["bike_id"],), []).append((at, message.partition, message.offset, seen))
        if None not in (key := (ride["city"], ride["start_station"])):
            by_station.setdefault(key, []).append((at, message.partition, message.offset, ride))
    store = FeatureStore(repo_path=str(repo))
    views = {view.name: view for view in definitions.load(repo, None, spark).views}
    # Feast names a count of events "*"; the oracle, like the plan, names no column.
    compare(store, views["bike_rides"], by_bike, now)
    compare(store, views["station_demand"], by_station, now)


def test_feasts_own_example_by_spark_submit(
    tmp_path: Path, kafka: str, topic: Callable[..., str], named_topic, redis: Server, spark
) -> None:
    """The stream view of Feast's documentation, and the lane as a Spark application."""
    now = int(time.time() * 1000)
    named_topic("transactions", 1)
    repo = applied(ROOT / "tests" / "feast_docs_repo", tmp_path / "docs", redis.connection)
    world = World(repo, kafka, redis.connection, {}, topic(1, "updates"), topic(1, "dead"))
    rng = random.Random(4)
    (view,) = definitions.load(repo, None, spark).views
    events: dict[tuple, list] = {}
    messages = []
    for n in range(200):
        at, customer = now - rng.randint(MINUTE, 80 * MINUTE), f"c{rng.randint(1, 5)}"
        values = {
            "customer_id": customer,
            "amount": rng.choice([None, 5.5, 7.25]),
            "event_timestamp": iso(at),
        }
        messages.append(("transactions", 0, json.dumps(values).encode()))
        events.setdefault((customer,), []).append((at, 0, n, values))
    send(kafka, messages)
    submit = Path(sys.executable).with_name("spark-submit")
    jars = ",".join(str(jar) for jar in spark_jars())
    command = (str(submit), "--master", "local[1]", "--driver-memory", "1g", "--jars", jars)
    defaults = ("--properties-file", str(ROOT / "conf" / "spark-defaults.conf"))
    lane = online(world, (*command, *defaults, str(ROOT / "streaming" / "jobs" / "online.py")))
    assert "local[1]" in lane.log.read_text(), "the master is spark-submit's to say"
    assert "default log4j profile" not in lane.log.read_text(), "conf/log4j2.properties is in force"
    compare(FeatureStore(repo_path=str(repo)), view, events, now)


def run_cli(*arguments: str) -> tuple[int, str]:
    """Exit code and the last line of standard error."""
    done = subprocess.run([*ONLINE, *arguments], capture_output=True, text=True, timeout=240, check=False)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert "Traceback" not in done.stderr
    return done.returncode, lines[-1]


def test_errors_are_one_line_and_a_failing_exit_code(world: World, tmp_path: Path) -> None:
    code, line = run_cli("--repo", str(tmp_path / "nowhere"), "--json")
    assert code == 1
    assert "name the folder of a Feast repo" in line
    code, line = run_cli("--repo", str(world.repo), "--views", "user_orders,nothing", "--json")
    assert code == 1
    assert line.startswith("there is no stream view nothing to compute: choose from pair_orders, shop_orders")
    code, line = run_cli("--repo", str(world.repo), "--starting-offsets", "yesterday")
    assert code == 2


def test_nothing_applied(world: World, spark) -> None:
    (world.repo / "registry.db").unlink()
    with pytest.raises(DefinitionError, match=r"has no stream view .* run feast apply"):
        world.run(spark)


def test_a_topic_that_does_not_exist(world: World, spark) -> None:
    nowhere = f"nowhere-{uuid.uuid4().hex[:6]}"
    refusal = f"topic {nowhere} does not exist: run `tidemark topics apply`"
    for where in ("updates", "dead"):
        there = getattr(world, where)
        setattr(world, where, nowhere)
        with pytest.raises(ServiceError, match=refusal):
            world.run(spark)
        setattr(world, where, there)
    world.apply(orders=nowhere)
    for starting in ("earliest", "latest"):
        with pytest.raises(ServiceError, match=refusal):
            world.run(spark, starting=starting)


def test_a_topic_that_is_no_longer_read_is_refused(world: World, spark) -> None:
    now = int(time.time() * 1000)
    world.send(wave(1, 50, now - 10 * MINUTE, now - MINUTE))
    world.run(spark, views=["shop_orders", "user_visits"])
    refusal = (
        f"also reads {world.given['visits']}, of which this lane has no view: start it with a view of each"
    )
    with pytest.raises(DefinitionError, match=refusal):
        world.run(spark, views=["shop_orders", "pair_orders"])
    world.run(spark, views=["shop_orders", "pair_orders", "user_visits"])


def test_a_second_checkpoint_is_refused_and_takes_nothing(world: World, spark, tmp_path: Path) -> None:
    """Not even the view that the first lane leaves alone, which a third may have."""
    now = int(time.time() * 1000)
    world.send(wave(1, 50, now - 10 * MINUTE, now - MINUTE))
    world.run(spark, views=["shop_orders"])
    refusal = r"the rings of view shop_orders belong to another checkpoint: .* `tidemark stream reset --views shop_orders`"
    with pytest.raises(FencedError, match=refusal):
        world.run(spark, views=["pair_orders", "shop_orders"], checkpoint=tmp_path / "second")
    world.run(spark, views=["pair_orders"], checkpoint=tmp_path / "third")


def test_sources_on_different_brokers_are_refused(world: World, spark) -> None:
    plan = world.plan(spark)
    elsewhere = replace(plan.sources[1], bootstrap_servers="elsewhere:9092")
    world._plans[None] = replace(plan, sources=(plan.sources[0], elsewhere))
    with pytest.raises(DefinitionError, match="on different brokers: run a lane for each"):
        world.lane(spark)
