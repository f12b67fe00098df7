"""The feature store's formulas, encoder and networks, without any service."""

import math
import sys
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.feature_store_api import baseline, filling, formulas, network, report, training
from examples.feature_store_api.inference import Reading
from examples.feature_store_api.inputs import NUMBERS, Encoder, WrongInputs
from examples.feature_store_api.network import NoTorch, trainer
from examples.feature_store_api.settings import HERE
from examples.feature_store_api.training import MEASURES, TooFew, Way

MOMENTS = st.integers(0, 4_000_000_000_000)
DEGREES = st.tuples(st.floats(-89, 89), st.floats(-179, 179))


@given(DEGREES, DEGREES)
def test_distance_is_the_angle_between_points_times_the_radius(one, other):
    def vector(lat, long):
        a, b = math.radians(lat), math.radians(long)
        return np.array([math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)])

    u, v = vector(*one), vector(*other)
    angle = math.atan2(np.linalg.norm(np.cross(u, v)), u @ v)
    (found,) = formulas.distance(*([value] for value in (*one, *other)))
    assert found == pytest.approx(3_963 * angle, rel=1e-6, abs=1e-4)


@given(MOMENTS)
def test_hour_and_day_are_those_of_the_calendar(moment):
    when = datetime.fromtimestamp(moment / 1000, UTC)
    assert formulas.hour_of_day(np.array([moment]))[0] == when.hour
    assert formulas.day_of_week(np.array([moment]))[0] == when.isoweekday() % 7 + 1


def test_age_is_in_years():
    at = np.array([datetime(2026, 6, 21, tzinfo=UTC).timestamp() * 1000], np.int64)
    assert formulas.age(at, np.array(["1963-06-21"], "datetime64[D]"))[0] == pytest.approx(63, abs=0.01)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9_000), st.integers(1, 99)), min_size=1, max_size=40)
)
def test_windows_hold_what_the_definition_says(payments):
    """Window end E = (floor(t / S) + 1) * S; a value covers E - W <= time <= t."""
    payments.sort()
    frame = pd.DataFrame(payments, columns=["cc_num", "at", "amount"]).assign(at=lambda f: f["at"] * 1_000)
    made = baseline.windowed(frame.astype({"amount": float}))
    for row in made.to_dict("records"):
        mine = [p for p in frame.to_dict("records") if p["cc_num"] == row["cc_num"] and p["at"] <= row["at"]]
        counted = [p for p in mine if p["at"] >= (row["at"] // 30_000 + 1) * 30_000 - 600_000]
        meant = [p["amount"] for p in mine if p["at"] >= (row["at"] // 300_000 + 1) * 300_000 - 3_600_000]
        assert row["txn_count_last_10_min"] == len(counted)
        assert row["avg_amt_last_1_hour"] == pytest.approx(sum(meant) / len(meant))


def payments(rows, seed=1, rate=0.05):
    chance = np.random.default_rng(seed)
    fraud = chance.random(rows) < rate
    return pd.DataFrame(
        {
            "amt": chance.gamma(2, 40, rows) * (1 + 9 * fraud),
            "hour_of_day": chance.integers(0, 24, rows),
            "day_of_week": chance.integers(1, 8, rows),
            "age_at_txn": chance.uniform(18, 90, rows),
            "distance_to_merchant": np.where(chance.random(rows) < 0.1, np.nan, chance.gamma(1, 20, rows)),
            "txn_count_last_10_min": 1 + chance.poisson(0.2 + 5 * fraud),
            "avg_amt_last_1_hour": chance.gamma(2, 40, rows),
            "category": chance.choice(["gas", "retail", "travel"], rows),
            "gender": chance.choice(["F", "M"], rows),
            "city_pop": chance.integers(100, 1_000_000, rows),
            "is_fraud": fraud.astype(int),
            "event_timestamp": pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC"),
        }
    )


def test_an_encoder_is_fitted_once_and_kept():
    frame = payments(500)
    encoder = Encoder.fitted(frame)
    rows = encoder.matrix(frame)
    assert rows.shape == (500, encoder.width) == (500, 8 + 3 + 2)
    np.testing.assert_allclose(rows[:, : len(NUMBERS)].std(axis=0), 1, atol=0.1)
    again = Encoder.of(encoder.text())
    np.testing.assert_array_equal(again.matrix(frame.tail(3)), rows[-3:])
    strange = frame.head(1).assign(category="yachts", city_pop=np.nan)
    assert (again.matrix(strange)[0, 8:11] == 0).all()
    assert again.matrix(strange)[0, NUMBERS.index("city_pop")] == 0


def test_wrong_inputs_are_named():
    frame = payments(50)
    encoder = Encoder.fitted(frame)
    with pytest.raises(WrongInputs, match="no column amt"):
        encoder.matrix(frame.drop(columns="amt"))
    with pytest.raises(WrongInputs, match="amt is not a number"):
        encoder.matrix(frame.assign(amt="much"))
    with pytest.raises(WrongInputs, match="no payments"):
        Encoder.fitted(frame.head(0))


def test_parts_are_in_time_and_only_what_is_learned_from_is_thinned():
    frame = payments(4_000)
    learn, stop, late = training.parts(frame, 3)
    assert learn.event_timestamp.max() < stop.event_timestamp.min() < late.event_timestamp.min()
    assert (learn.is_fraud == 0).sum() == 5 * (learn.is_fraud == 1).sum()
    assert len(late) == 1_000
    assert late.is_fraud.mean() == pytest.approx(0.05, abs=0.02)
    with pytest.raises(TooFew, match="no fraud"):
        training.parts(frame.assign(is_fraud=0), 3)


@pytest.fixture(params=["sklearn", "torch"])
def train(request, monkeypatch):
    if request.param == "torch":
        pytest.importorskip("torch", reason=network.REMEDY)
    monkeypatch.setattr(network, "EPOCHS", 8)
    return trainer(request.param)[1]


def test_a_network_learns_and_says_probabilities_at_the_real_rate(train):
    learn, stop, late = training.parts(payments(4_000), 1)
    model, epochs = training.learned(learn, stop, train, 1)
    found = training.measured(model, late)
    assert set(found) == set(MEASURES)
    assert found["PR-AUC"] > 0.8
    assert 1 <= epochs <= 8
    # Learned at one fraud in six.
    assert model.probability(late).mean() == pytest.approx(late.is_fraud.mean(), abs=0.04)


def test_the_layers_are_those_of_the_original(train):
    learn, stop, _ = training.parts(payments(2_000), 1)
    model, _ = training.learned(learn, stop, train, 1)
    inner = model.network.model
    if hasattr(inner, "coefs_"):
        assert [w.shape[1] for w in inner.coefs_] == [256, 128, 64, 1]
    else:
        assert [layer.out_features for layer in inner if hasattr(layer, "out_features")] == [256, 128, 64, 1]


def test_without_torch_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NoTorch, match="pip install torch"):
        trainer("torch")
    name, _ = trainer()
    assert name.startswith("scikit-learn")


def test_a_withdrawal_has_no_distance():
    raw = pd.DataFrame(
        {
            "at": [0], "amount": [5.0], "date_of_birth": [date(1980, 1, 1)], "home_lat": [40.0],
            "home_long": [-75.0], "merchant_lat": [None], "merchant_long": [None], "city_population": [9],
            "is_fraud": [False], "timestamp": [pd.Timestamp(0, tz="UTC")],
        }
    )  # fmt: skip
    made = filling.alone(raw).iloc[0]
    assert math.isnan(made.distance_to_merchant)
    assert (made.hour_of_day, made.day_of_week, made.is_fraud) == (0, 5, 0)


def test_values_that_differ_are_counted():
    frame = payments(20).assign(transaction_id=[f"t{i:02d}" for i in range(20)])
    other = frame.sample(frac=1, random_state=1)
    assert training.differing(frame, other) == 0
    other.iloc[3, other.columns.get_loc("amt")] += 1e-3
    other.iloc[4, other.columns.get_loc("gender")] = "X"
    assert training.differing(frame, other) == 2


def test_the_report_names_both_ways_and_what_was_left_out(tmp_path):
    measures = [dict.fromkeys(MEASURES, 0.5), dict.fromkeys(MEASURES, 0.7)]
    store, raw = Way(10.0, [1, 3], [4, 4], [5, 5], measures), Way(0.0, [2, 2], [4, 4], [5, 5], measures)
    readings = [Reading(n, [0.01 * n] * 3, [0.02 * n] * 3, [0.001] * 3, 10 * n, 0) for n in (1, 100)]
    made = report.Report("X 1", 1_000, 5, store, raw, 0, readings)
    assert "| **a run, everything, s** | 16.0 | 6.0 | - | 527.71 |" in made.markdown
    assert "| F1 | 0.6000 ± 0.1000 | 0.6000 ± 0.1000 | 0.9080 | 0.8927 |" in made.markdown
    assert "0 of 10,000" in made.markdown
    readme = tmp_path / "README.md"
    readme.write_text((HERE / "README.md").read_text())
    report.publish(made, readme, tmp_path / "results.png")
    assert "| **a run, everything, s** | 16.0" in readme.read_text()
    assert (tmp_path / "results.png").stat().st_size > 10_000
