"""Drift and live quality of a model in use."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import prometheus_client
import pytest
from small_model import rows, saved

from training.models import metrics
from training.models.monitor import Watching

DAY = 86_400.0


@pytest.fixture
def watched(tmp_path):
    shelf, card = saved(tmp_path)
    shelf.promote(card.version, card.created)
    clock = [0.0]
    return (
        shelf.current(),
        Watching(seconds=DAY, remembered=3_000, labelled=2_000).of(card, lambda: clock[0]),
        clock,
    )


def value(name: str, **labels: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(name, {"model": "small", "version": "1", **labels})


def test_the_same_scores_are_no_drift_and_others_are(watched):
    model, monitor, clock = watched
    assert monitor.drift is None
    usual, ids = model.probability(rows(50).columns), [f"a{i}" for i in range(2_000)]
    monitor.scored(ids, usual)
    assert monitor.drift < 0.03
    assert value("tidemark_model_score_psi") == monitor.drift
    assert value("tidemark_model_probability_mean") == pytest.approx(usual.mean())
    monitor.scored([f"b{i}" for i in range(2_000)], np.full(2_000, 0.7))
    assert monitor.drift > 0.25
    clock[0] += 2 * DAY
    monitor.scored(ids, usual)
    assert monitor.drift < 0.03


def test_quality_follows_labels_that_arrive(watched):
    model, monitor, _ = watched
    held = rows(60)
    score, ids = model.probability(held.columns), [f"t{i}" for i in range(len(held))]
    monitor.scored(ids, score)
    before = value("tidemark_model_labelled_total", label="true") or 0
    assert monitor.labelled(ids, held.label.tolist()) == len(held)
    assert value("tidemark_model_labelled_total", label="true") - before == held.label.sum()
    assert value("tidemark_model_live_pr_auc") == pytest.approx(monitor.card.model.pr_auc, abs=0.1)
    alerted = score >= monitor.card.model.threshold
    assert value("tidemark_model_live_recall") == pytest.approx(alerted[held.label].mean())
    assert value("tidemark_model_live_precision") == pytest.approx(held.label[alerted].mean())
    assert value("tidemark_model_live_calibration") == pytest.approx(1, abs=0.25)
    # A label counts once, and one of an event that nobody scored, not at all.
    unknown = value("tidemark_model_labels_unknown_total")
    assert monitor.labelled([*ids[:5], "nobody"], [True] * 6) == 0
    assert value("tidemark_model_labels_unknown_total") - unknown == 6


def test_what_is_remembered_is_bounded(watched):
    _, monitor, _ = watched
    for part in range(4):
        monitor.scored([f"{part}-{i}" for i in range(1_000)], np.full(1_000, 0.1))
    assert monitor.labelled(["0-1", "3-1"], [True, False]) == 1


def test_every_metric_is_on_the_page():
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    declared = {
        m._name + ("_total" if isinstance(m, prometheus_client.Counter) else "")
        for m in vars(metrics).values()
        if isinstance(m, prometheus_client.metrics.MetricWrapperBase)
    }
    assert set(re.findall(r"`(tidemark_model_\w+)`", text)) == declared
