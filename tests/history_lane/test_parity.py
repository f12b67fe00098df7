"""Served vectors equal history's at their moments; what was made to differ is found and named."""

import dataclasses
import time

import pytest
from history_world import History
from lane_orders import wave
from lane_world import World

from streaming.checkpoint import Checkpoint
from streaming.history import parity, parity_runs
from streaming.history.parity import FeatureParity
from streaming.history.parity_runs import Run
from streaming.plan import Feature, Window
from tidemark.commands.parity import compare, drawn, table

MINUTE = 60_000


@pytest.fixture
def world(history: History) -> World:
    return history.world


def run(history: History, spark, *, sample: int = 400, reads: int = 20) -> Run:
    world = history.world
    plan = world.plan(spark, ["user_orders", "shop_orders", "pair_orders"])
    online, archive = Checkpoint(str(world.checkpoint)), Checkpoint(f"{history.checkpoint}/arrivals")
    return compare(world.repo, plan, spark, str(history.folder), online, archive, sample, reads)


def prepare(history: History, spark) -> None:
    now = int(time.time() * 1000)
    for seed, start, end in ((1, 150, 60), (2, 70, 1)):
        history.world.send(wave(seed, 500, now - start * MINUTE, now - end * MINUTE))
        history.world.run(spark, max_events=200)
    history.run(updates=True)


def test_a_clean_run_differs_nowhere_and_faults_are_named(history: History, world: World, spark, tmp_path):
    """Late, doubled and broken events, entities over several partitions; then history is made to lack events."""
    prepare(history, spark)
    clean = run(history, spark)
    assert clean.wrong == 0, [r for r in clean.results if r.wrong][:3]
    assert clean.compared > 12_000
    assert clean.logged > 300
    assert clean.read > 20
    assert {r.feature for r in clean.results if r.compared} == {r.feature for r in clean.results}

    path = str(history.folder / "events" / "orders")
    held = spark.read.format("delta").load(path).count()
    spark.sql(f"DELETE FROM delta.`{path}` WHERE pmod(xxhash64(order_id), 100) = 0")
    gone = held - spark.read.format("delta").load(path).count()
    assert 0 < gone < 30
    thinned = run(history, spark)
    named = {(r.view, r.feature) for r in thinned.results if r.wrong}
    assert {view for view, _ in named} == {"user_orders", "shop_orders", "pair_orders"}
    assert all(sum(r.reasons.values()) == r.wrong for r in thinned.results)
    assert any("history" in r.example for r in thinned.results)

    root = str(tmp_path / "kept")
    for found in (clean, thinned):
        parity_runs.keep(root, found)
    assert [r.wrong for r in parity_runs.kept(root)] == [0, thinned.wrong]
    assert "user_orders" in drawn([clean, thinned])
    assert table(thinned).row_count > 3


def test_a_window_that_is_one_slide_off_is_named(history: History, world: World, spark):
    prepare(history, spark)
    plan = world.plan(spark, ["user_orders"])
    view = plan.views[0]
    wrong = next(f for f in view.features if f.function == "count" and f.window.length >= 600_000)
    longer = dataclasses.replace(
        wrong, window=Window(wrong.window.length + wrong.window.slide, wrong.window.slide)
    )
    broken = dataclasses.replace(view, features=tuple(longer if f is wrong else f for f in view.features))
    work = parity.Parity(
        parity.Events(spark, dataclasses.replace(plan, views=(broken,)), str(history.folder)),
        parity.Ledger(Checkpoint(str(world.checkpoint)), Checkpoint(f"{history.checkpoint}/arrivals")),
        2,
    )
    vectors = parity.logged(work.events, broken, work.ledger, 200)
    found = work.compare(broken, vectors)
    assert {name for name, f in found.items() if f.mismatched or f.missing} == {wrong.name}
    assert found[wrong.name].reasons == {"unexplained": found[wrong.name].mismatched}


@pytest.mark.parametrize(
    ("function", "dtype", "served", "computed", "equal"),
    [
        ("sum", "DOUBLE", 1.0, 1.0 + 1e-12, True),
        ("sum", "DOUBLE", 1.0, 1.0 + 1e-8, False),
        ("max", "DOUBLE", 1.0, 1.0 + 1e-12, False),
        ("mean", "FLOAT", 0.1, 0.10000000149011612, True),
        ("count", "INT64", 2**53 + 1, 2**53 + 1, True),
        ("count", "INT64", 3, 4, False),
        ("last", "STRING", "a", "b", False),
        ("max", "UNIX_TIMESTAMP", "2026-01-31T12:00:00.000Z", 1769860800, True),
        ("min", "DOUBLE", None, None, True),
        ("min", "DOUBLE", None, 0.0, False),
    ],
)
def test_equal_means_what_the_contract_says(function, dtype, served, computed, equal):
    feature = Feature("f", function, "c", Window(60_000, 5_000), dtype)
    found = FeatureParity()
    assert found.add(feature, served, computed, "x") == equal
    assert (found.compared, found.equal) == (1, int(equal))
    assert found.mismatched + found.missing == 1 - equal
    assert bool(found.example) != equal


def test_a_sum_that_cancels_is_compared_with_what_was_summed():
    feature = Feature("f", "sum", "c", Window(60_000, 5_000), "DOUBLE")
    found = FeatureParity()
    assert found.add(feature, 1.4e-17, -3.5e-18, "x", size=4.0)
    assert not found.add(feature, 1.4e-14, -3.5e-15, "x", size=4.0)
    assert not found.add(dataclasses.replace(feature, function="max"), 1.4e-17, -3.5e-18, "x", size=4.0)
