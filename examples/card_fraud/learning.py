"""The model: XGBoost with the original's parameters, on features of each payment's moment, split by time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pyspark.sql import SparkSession

from examples.card_fraud.settings import MODEL, CardSettings
from examples.card_fraud.threshold import ORIGINAL, Costs, Decision, decide
from streaming import definitions
from streaming.history.store import StoreSettings
from training import models
from training.models.fit import Boosting
from training.models.recipe import recipe
from training.models.rows import Reader, Rows
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
    """The candidate, the week before its held-out period, and both thresholds on that period."""

    candidate: Candidate
    tune: Rows
    decisions: tuple[Decision, Decision]

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
    trainer = Trainer(rows, models.ModelSettings(), SPLIT, Boosting(PARAMETERS, ROUNDS, patience=None))
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
    return Learnt(
        candidate, tune, (decide("original", ORIGINAL, *given), decide("least cost", chosen, *given))
    )
