"""No single field gives the label away; behaviour in time does."""

from __future__ import annotations

import numpy as np
import pytest
from ranking import average_precision, best_single, roc_auc

from generators import Events, Scenario, Simulation
from generators.contracts import STREAMS
from generators.schema import field_names

START = 1_772_323_200_000
EVENTS = 100_000
TRUTH = {"claims": "is_fraud", "transactions": "is_fraud", "iot": "true_anomaly"}
ALLOWED = {"claims": (0.80, 0.35), "transactions": (0.86, 0.20), "iot": (0.80, 0.35)}
"""Highest (ROC AUC, average precision) that any one field may reach."""


@pytest.fixture(scope="module")
def history() -> dict[str, Events]:
    """About a day of each stream at a realistic rate."""
    simulation = Simulation(Scenario(seed=11, rate=5.0))
    return {s: simulation.events(s, 0, simulation.times(s, START, 0, EVENTS)) for s in STREAMS}


def plain(events: Events, field: str) -> np.ndarray:
    values = events[field]
    if field in {"timestamp", "last_maintenance"}:
        return np.array([v.timestamp() for v in values])
    if field == "battery_level":
        return np.array([-1.0 if v is None else v for v in values])
    return values


@pytest.mark.parametrize("name", STREAMS)
def test_no_field_alone_gives_the_label_away(name: str, history: dict[str, Events]) -> None:
    events = history[name]
    truth = np.asarray(events[TRUTH[name]], bool)
    most_auc, most_precision = ALLOWED[name]
    found = {}
    for field in field_names(name, "inputs"):
        found[field] = best_single(plain(events, field), truth)
    worst = max(found, key=lambda f: found[f][0]), max(found, key=lambda f: found[f][1])
    assert found[worst[0]][0] < most_auc, (worst[0], found[worst[0]])
    assert found[worst[1]][1] < most_precision, (worst[1], found[worst[1]])


@pytest.mark.parametrize("name", STREAMS)
def test_the_labels_themselves_would_be_caught(name: str, history: dict[str, Events]) -> None:
    truth = np.asarray(history[name][TRUTH[name]], bool)
    assert best_single(history[name][TRUTH[name]], truth) == (1.0, 1.0)


@pytest.mark.parametrize("scheme", ["card_testing", "velocity_abuse", "account_takeover", "bust_out"])
def test_bursts_show_in_the_time_between_payments(scheme: str, history: dict[str, Events]) -> None:
    events = history["transactions"]
    kind = np.array([k or "" for k in events["fraud_type"]])
    users = np.unique(events["user_id"], return_inverse=True)[1]
    order = np.lexsort((events.index, users))
    again = users[order][1:] == users[order][:-1]
    gap = np.full(len(users), np.inf)
    gap[order[1:][again]] = np.diff(events.at[order])[again]
    rows = (kind == "") | (kind == scheme)
    assert roc_auc(-gap[rows], kind[rows] == scheme) > 0.8


def test_measures_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(0)
    score, truth = rng.integers(0, 5, 60), rng.random(60) < 0.3
    pairs = [(p > n) + 0.5 * (p == n) for p in score[truth] for n in score[~truth]]
    assert roc_auc(score, truth) == pytest.approx(np.mean(pairs))
    expected = np.mean([truth[score >= s].mean() for s in score[truth]])
    assert average_precision(score, truth) == pytest.approx(expected)
