"""The model: XGBoost with the original's parameters, on features of each payment's moment, split by time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pyspark.sql import SparkSession

from examples.card_fraud.ratios import ORIGINAL as FOUR
from examples.card_fraud.settings import MODEL, CardSettings
from examples.card_fraud.threshold import ORIGINAL, Costs, Decision, decide
from streaming import definitions
from streaming.history.store import StoreSettings
from training import models
from training.models.card import Measures
from training.models.fit import Boosting
from training.models.measures import measure
from training.models.recipe import recipe
from training.models.rows import Reader
from training.models.trainer import Candidate, Split, Trainer

PARAMETERS = {
    "objective": "binary:logistic",
    "max_depth": 5,
    "eta": 0.2,
    "gamma": 4,
    "min_child_weight": 6,
    "subsample": 0.7,
    "seed": 7,
}
ROUNDS = 100
SPLIT = Split(held_out=timedelta(days=14), tuned=timedelta(days=7), warm_up=timedelta(days=7))


@dataclass(frozen=True)
class Learnt:
    """The candidate, both thresholds on its held-out period, and there one of the original's inputs alone."""

    candidate: Candidate
    decisions: tuple[Decision, Decision]
    four: Measures

    @property
    def probability(self) -> np.ndarray:
        """Of the held-out period."""
        return self.candidate.fitted.probability(self.candidate.held)


def reader(repo, spark: SparkSession, history: StoreSettings, most: int = 2_000_000) -> Reader:
    """Reads the example's rows from history."""
    store = definitions._open(repo)
    return Reader.of(store, recipe(store, MODEL), spark, history, most)


def learn(settings: CardSettings, rows: Reader, until: datetime) -> Learnt:
    """Train on all but the last two weeks, and choose the threshold on the week before them. Raises TidemarkError."""
    boosting, measuring = Boosting(PARAMETERS, ROUNDS, patience=None), models.ModelSettings()
    trainer = Trainer(rows, measuring, SPLIT, boosting)
    period = SPLIT.period(rows.span()[0], None, until)
    held = rows.read(period.since, period.until)
    candidate = trainer.fit(held, period)
    tune = held.between(period.tuned, period.held_out)
    costs = Costs(settings.alarm_cost, settings.fraud_cost)
    chosen = costs.cheapest(
        tune.label, tune.columns["amount"], tune.weight, candidate.fitted.probability(tune)
    )
    test, score = candidate.held, candidate.fitted.probability(candidate.held)
    days = (period.until - period.held_out) / timedelta(days=1)
    given = (costs, days, test.label, test.columns["amount"], test.weight, score)
    four = boosting.fit(held.between(period.since, period.tuned), tune, FOUR).probability(test)
    return Learnt(
        candidate,
        (decide("original", ORIGINAL, *given), decide("least cost", chosen, *given)),
        measure(test.label, four, test.weight, measuring.model_alert_rate),
    )
