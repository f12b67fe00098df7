"""The card fraud example on small sizes: payments, ratios, thresholds, the model, delays, predictions, bad input."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from feast_repos import applied
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("serving", "scores")]

from score_world import World

from examples.card_fraud import delays, learning, payments, report
from examples.card_fraud.predictions import Demonstration, Predictor, WrongPayment, expected
from examples.card_fraud.ratios import COUNTED, FEATURES, INPUTS, ratios
from examples.card_fraud.settings import MODEL, REPO, CardSettings
from examples.card_fraud.system import System
from examples.card_fraud.threshold import Costs, decide
from streaming.errors import TidemarkError
from streaming.history.store import StoreSettings, events_path
from training.models import ModelError, Shelf

UNTIL = datetime(2026, 3, 2, tzinfo=UTC)
SMALL = CardSettings(users=80, days=36, fraud_rate=0.08)


@pytest.fixture(scope="module")
def made():
    return payments.simulate(SMALL, UNTIL)


def test_chains_and_sprees(made):
    assert (np.diff(made.at) >= 0).all()
    assert made.at[-1] < UNTIL.timestamp() * 1000
    lengths, gaps, amounts = [], [], {True: [], False: []}
    for chain in np.unique(made.chain[made.fraud]):
        mine = made.chain == chain
        lengths.append(int(mine.sum()))
        gaps += (np.diff(made.at[mine]) / 1000).tolist()
        amounts[lengths[-1] <= 6] += made.amount[mine].tolist()
        assert len(set(made.card[mine])) == 1
    # The end of time may cut one short.
    assert sum(length < 3 for length in lengths) <= 1
    assert 3 <= max(lengths) <= 10
    assert min(gaps) >= 29.9
    assert max(gaps) <= 120.1
    # The original's short chains were always small amounts.
    assert np.median(amounts[True]) == pytest.approx(np.median(amounts[False]), rel=0.5)
    assert made.fraud.mean() == pytest.approx(SMALL.fraud_rate, rel=0.35)
    again = payments.simulate(SMALL, UNTIL)
    assert (again.at == made.at).all()
    assert (again.card == made.card).all()


def test_messages_are_what_was_made(made):
    keys, values = next(made.messages())
    first = msgspec.json.decode(values[7])
    assert keys[7] == first["card_id"].encode()
    assert first["amount"] == made.amount[7]
    assert first["is_fraud"] == made.fraud[7]
    assert datetime.fromisoformat(first["timestamp"]).timestamp() * 1000 == made.at[7]


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8), st.integers(0, 7))
def test_ratios_are_the_same_before_and_after_the_payment(amounts, old):
    """All amounts are of this week, the last `len - old` of ten minutes; the last is the payment."""
    fresh = amounts[min(old, len(amounts) - 1) :]

    def features(ten, week):
        return {
            "num_trans_last_10m": [len(ten)],
            "avg_amt_last_10m": [np.mean(ten) if ten else None],
            "num_trans_last_1w": [len(week)],
            "avg_amt_last_1w": [np.mean(week) if week else None],
        }

    after = ratios(features(fresh, amounts), amounts[-1:], [True])
    before = ratios(features(fresh[:-1], amounts[:-1]), amounts[-1:], [False])
    for name in after:
        assert after[name] == pytest.approx(before[name]), name
    assert after["count_ratio"] == pytest.approx(len(fresh) / len(amounts))
    assert after["amt_ratio1"] == pytest.approx(np.mean(fresh) / np.mean(amounts))
    assert after["amt_ratio2"] == pytest.approx(amounts[-1] / np.mean(amounts))


def test_without_anything_to_compare_with_ratios_are_zero():
    found = ratios({name: [None, np.nan] for name in FEATURES}, [5.0, 5.0], [True, True])
    assert all((values == 0).all() for name, values in found.items() if name not in COUNTED)
    assert found["trans_10m"].tolist() == [0, 0]
    assert ratios({name: [] for name in FEATURES}, [], [])["amt_ratio1"].shape == (0,)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 50), st.integers(1, 3), st.integers(0, 6)),
        min_size=1,
        max_size=15,
    )
)
def test_the_cheapest_threshold_is_the_cheapest(rows):
    label, amount, weight, score = (np.array(column) for column in zip(*rows, strict=True))
    label, score, costs = label.astype(bool), score / 6, Costs(5, 15)
    chosen = costs.cheapest(label, amount, weight, score)
    every = [costs.of(label, amount, weight, score >= t) for t in (*np.unique(score), np.inf)]
    assert costs.of(label, amount, weight, score >= chosen) == pytest.approx(min(every))
    thresholds, curve = costs.curve(label, amount, weight, score)
    assert curve.tolist() == pytest.approx([costs.of(label, amount, weight, score >= t) for t in thresholds])


def test_a_decision_counts_what_it_does():
    label, amount = np.array([True, True, False, False]), np.array([10.0, 20, 30, 40])
    found = decide("x", 0.5, Costs(5, 15), 2.0, label, amount, np.ones(4), np.array([0.9, 0.1, 0.6, 0.2]))
    assert (found.alarms, found.precision, found.recall, found.cost) == (1.0, 0.5, 0.5, (20 + 15 + 5) / 2)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, spark, made):
    """(folder, reader, learnt) from payments in Delta, as the history lane writes them."""
    folder = tmp_path_factory.mktemp("cards")
    applied(REPO, folder / "repo")
    history = StoreSettings.model_validate({"history": str(folder / "history"), "history_tasks": 2})
    rows = [
        (f"T{n}", card, "M", float(amount), "1", int(at), bool(fraud), n % 2, n)
        for n, (at, card, amount, fraud) in enumerate(
            zip(made.at, made.card, made.amount, made.fraud, strict=True)
        )
    ]
    columns = "tid string, card_id string, merchant_id string, amount double, zip_code string, ms long, is_fraud boolean"
    frame = spark.createDataFrame(rows, f"{columns}, _partition int, _offset long")
    frame = frame.withColumns(
        {
            "timestamp": F.timestamp_millis("ms"),
            "_topic": F.lit("card-payments"),
            "_arrived": F.timestamp_millis("ms"),
            "_late": F.lit(False),
            "_created": F.current_timestamp(),
            "event_date": F.to_date(F.timestamp_millis("ms")),
        }
    ).drop("ms")
    frame.write.format("delta").partitionBy("event_date").save(events_path(history.history, "card_payments"))
    reader = learning.reader(folder / "repo", spark, history)
    return folder, reader, learning.learn(SMALL, reader, UNTIL)


def test_learns_on_the_past_alone_and_beats_the_rule(learnt):
    _, _, found = learnt
    candidate = found.candidate
    assert candidate.period.held_out == UNTIL - timedelta(days=14)
    assert candidate.fitted.features == INPUTS
    assert candidate.fitted.trees.num_boosted_rounds() == 100
    assert candidate.model.pr_auc > 0.5
    assert candidate.model.pr_auc > found.four.pr_auc
    original, chosen = found.decisions
    assert original.threshold == 0.25
    assert 0 < chosen.threshold < 1
    # The payment counts itself: nobody's ten minutes are empty.
    assert (candidate.held.columns["num_trans_last_10m"] >= 1).all()


def test_stale_features_are_worth_less_and_the_report_says_so(learnt, tmp_path):
    folder, reader, found = learnt
    candidate = found.candidate
    worth = delays.worth(reader, candidate.fitted, candidate.period, folder, 0.05)
    assert [w.delay for w in worth] == list(delays.DELAYS)
    # Nothing was left out of so small a history, so the first row is the model's own measure.
    assert worth[0].pr_auc == pytest.approx(candidate.model.pr_auc, abs=1e-6)
    assert worth[0].pr_auc > worth[3].pr_auc + 0.2
    assert worth[0].pr_auc_trained > worth[3].pr_auc_trained
    results = report.Results(SMALL, 9_000, 270, found, worth, [])
    results.draw(tmp_path / "picture.png")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\noutdated\n{report.END}\nafter\n")
    report.publish(results, tmp_path / "picture.png", readme)
    text = readme.read_text()
    assert "outdated" not in text
    assert f"| 10 min | {worth[3].pr_auc:.3f} |" in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert (tmp_path / "results.png").read_bytes()[:4] == b"\x89PNG"


@pytest.fixture(scope="module")
def predictor(learnt, redis_server):
    folder, reader, found = learnt
    shelf = Shelf(folder / "models", MODEL)
    shelf.promote(found.candidate.save(shelf, UNTIL).version, UNTIL)
    applied(REPO, folder / "live", redis_server)
    world = World(folder / "live", redis_server)
    world.now = int(UNTIL.timestamp() * 1000)
    return world, Predictor(world.store, shelf.current(reader.plan))


def test_a_known_card_an_unknown_one_and_a_rapid_one(predictor):
    world, scoring = predictor
    week = [(world.now - hours * 3_600_000, {"amount": 40.0}) for hours in range(10, 160, 8)]
    world.write("card_aggregates", "C1", week)
    world.write(
        "card_aggregates",
        "C2",
        week + [(world.now - s * 1000, {"amount": 45.0}) for s in (60, 120, 180, 240)],
    )
    calm, rapid, unknown = (scoring.score(card, 42.0) for card in ("C1", "C2", "nobody"))
    assert calm.features["num_trans_last_10m"] == 0
    assert calm.features["count_ratio"] == pytest.approx(1 / 20)
    assert rapid.features["count_ratio"] == pytest.approx(5 / 24)
    assert rapid.probability > 0.25 > calm.probability
    assert (rapid.fraud, calm.fraud) == (True, False)
    assert unknown.features["num_trans_last_1w"] is None
    assert unknown.features["count_ratio"] == 1
    assert 0 < unknown.probability < 1


def test_the_demonstration_sends_what_it_scored(predictor):
    world, scoring = predictor
    sent = []

    def send(tid, key, value):
        sent.append(msgspec.json.decode(value))
        assert (tid, key.decode()) == (sent[-1]["tid"], sent[-1]["card_id"])
        mine = [m for m in sent if m["card_id"] == "D4"]
        times = [world.now - 2_000 * (len(mine) - i) for i in range(len(mine))]
        if mine:
            world.write(
                "card_aggregates",
                "D4",
                [(t, {"amount": m["amount"]}) for t, m in zip(times, mine, strict=True)],
            )

    scored = list(Demonstration(scoring, send).run(["D1", "D2", "D3", "D4"], pause=0))
    assert [one.amount for one in scored] == [m["amount"] for m in sent]
    assert [m["is_fraud"] for m in sent] == [None] * 13
    assert len({m["tid"] for m in sent}) == 13
    assert [one.features["num_trans_last_10m"] or 0 for one in scored[3:]] == list(range(10))
    assert expected(scored).keys() == {"singles", "first", "others"}


@pytest.mark.parametrize(
    ("card", "amount", "words"),
    [
        ("C1", 0, "amount is 0: give dollars above 0"),
        ("C1", -3.0, "amount is -3.0"),
        ("C1", float("nan"), "amount is nan"),
        ("C1", "12", "amount is '12'"),
        ("C1", True, "amount is True"),
        ("", 5.0, "card_id is ''"),
        (7, 5.0, "card_id is 7: give the card's token as text"),
    ],
)
def test_a_payment_that_makes_no_sense_is_refused(predictor, card, amount, words):
    with pytest.raises(WrongPayment) as refused:
        predictor[1].score(card, amount)
    assert words in str(refused.value)


def test_missing_columns_and_an_empty_history_are_refused(predictor, learnt, tmp_path, spark):
    with pytest.raises(
        ModelError, match="needs amt_ratio1, which is not among the features: serve card_scoring"
    ):
        predictor[1].model.probability({"amount": np.array([1.0])})
    folder, _, _ = learnt
    empty = StoreSettings.model_validate({"history": str(tmp_path)})
    spark.createDataFrame([], "amount double, card_id string, timestamp timestamp").write.format(
        "delta"
    ).save(events_path(str(tmp_path), "card_payments"))
    with pytest.raises(
        ModelError, match=r"events of card_payments have no is_fraud: correct the tag model\.label"
    ):
        learning.reader(folder / "repo", spark, empty).span()
    none = StoreSettings.model_validate({"history": str(tmp_path / "none")})
    with pytest.raises(TidemarkError, match="run `tidemark stream history` first"):
        learning.reader(folder / "repo", spark, none).span()


def test_nothing_to_clean(tmp_path):
    assert System(tmp_path / "none").clean() == []


def test_the_whole_example(tmp_path):
    """Broker, Redis, both lanes, training and the scoring lane: what the lane says is what a read says."""
    size = {"FOLDER": str(tmp_path / "cards"), "DAYS": "36", "FRAUD_RATE": "0.08", "USERS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "examples.card_fraud.run", "--until", "2026-03-02"],
        env={**os.environ, "COLUMNS": "200", **{f"TIDEMARK_CARDS_{name}": v for name, v in size.items()}},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = re.search(r"([\d,]+) payments made", done.stdout)
    assert made
    assert f"history: {made[1]} payments in Delta, 0 duplicates, 0 malformed" in done.stdout
    live = re.findall(r"card \d\S*.*? +[\d.]+ +\d+ +([\d.]+) +([\d.]+) +\d+ ms", done.stdout)
    assert len(live) == 13, done.stdout
    assert all(streamed == read for read, streamed in live)
    assert float(live[-1][0]) > 0.25 > float(live[0][0])
    assert not (tmp_path / "cards").exists()
