"""How good probabilities of default are, and what acting on them costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from examples.credit.settings import CreditSettings

STEPS = np.arange(0.01, 1.0, 0.01)
BINS = 10


@dataclass(frozen=True)
class Costs:
    """A default loses `loss` of the amount; a good loan that is refused forgoes `margin` of it."""

    loss: float
    margin: float

    @classmethod
    def of(cls, settings: CreditSettings) -> Costs:
        return cls(settings.loss_given_default, settings.margin)

    def of_threshold(self, p: np.ndarray, loans: pd.DataFrame, threshold: float) -> float:
        """Dollars lost or forgone for each 1,000 that were applied for."""
        amount, bad = loans.loan_amnt.to_numpy(np.float64), loans.loan_status.to_numpy() == 1
        given = p < threshold
        wrong = self.loss * amount[given & bad].sum() + self.margin * amount[~given & ~bad].sum()
        return float(1_000 * wrong / amount.sum())

    def cheapest(self, p: np.ndarray, loans: pd.DataFrame) -> float:
        """The threshold, in hundredths, that costs least."""
        found = [self.of_threshold(p, loans, step) for step in STEPS]
        return round(float(STEPS[int(np.argmin(found))]), 2)


@dataclass(frozen=True)
class Quality:
    """`miscalibration` is the mean distance of probability and outcome over ten equally large groups; `approved` is
    the share of loans given and `defaults` that of defaults among them; `cost` as in `Costs`."""

    pr_auc: float
    roc_auc: float
    brier: float
    miscalibration: float
    threshold: float
    approved: float
    defaults: float
    cost: float

    @classmethod
    def of(cls, p: np.ndarray, loans: pd.DataFrame, threshold: float, costs: Costs) -> Quality:
        """Of probabilities `p` of `loans`, which hold both outcomes."""
        y = loans.loan_status.to_numpy()
        given = p < threshold
        said, was, size = reliability(p, y)
        return cls(
            float(average_precision_score(y, p)),
            float(roc_auc_score(y, p)),
            float(brier_score_loss(y, p)),
            float(np.average(np.abs(said - was), weights=size)),
            threshold,
            float(given.mean()),
            float(y[given].mean()) if given.any() else 0.0,
            costs.of_threshold(p, loans, threshold),
        )


def reliability(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability, share of defaults and size of each of ten groups by probability."""
    groups = [rows for rows in np.array_split(np.argsort(p, kind="stable"), BINS) if len(rows)]
    held = [(p[rows].mean(), y[rows].mean(), len(rows)) for rows in groups]
    said, was, size = (np.array(column, np.float64) for column in zip(*held, strict=True))
    return said, was, size
