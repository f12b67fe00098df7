"""Boosted trees that give calibrated probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression
from xgboost import Booster, DMatrix
from xgboost import train as boost

from training.models.model import ModelError
from training.models.rows import Rows

LEAST = 10
"""Positives that each period needs: fewer say nothing."""


@dataclass(frozen=True)
class Boosting:
    """How to boost: XGBoost's parameters, at most `rounds` trees, stopped after `patience` without a better one.

    Without patience all `rounds` are grown. Probabilities are calibrated on the rows that decide when to stop.
    """

    parameters: Mapping[str, float | int | str] = field(
        default_factory=lambda: {
            "objective": "binary:logistic",
            "eval_metric": "aucpr",
            "max_depth": 5,
            "eta": 0.1,
            "min_child_weight": 3,
            "subsample": 0.8,
            "colsample_bytree": 0.6,
            "seed": 7,
        }
    )
    rounds: int = 400
    patience: int | None = 40

    def fit(self, learn: Rows, tune: Rows, features: Sequence[str]) -> Fitted:
        """Trees from `learn`, stopped and calibrated on `tune`. Raises ModelError when either has too few positives."""
        for rows, purpose in ((learn, "learn from"), (tune, "calibrate on")):
            enough(rows, purpose)
        trees = boost(
            dict(self.parameters),
            _data(learn, features),
            self.rounds,
            evals=[(_data(tune, features), "tune")] if self.patience else [],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
        )
        if self.patience:
            trees = trees[: trees.best_iteration + 1]
        margin = trees.predict(_data(tune, features), output_margin=True).astype(np.float64)
        # The ranking stays as it is: a curve of two parameters, which few positives can determine.
        line = LogisticRegression(C=1e6).fit(margin[:, None], tune.label, tune.weight)
        gain = trees.get_score(importance_type="total_gain")
        whole = sum(gain.values()) or 1.0
        return Fitted(
            trees,
            tuple(features),
            float(line.coef_[0, 0]),
            float(line.intercept_[0]),
            {name: share / whole for name, share in sorted(gain.items(), key=lambda pair: -pair[1])},
        )


@dataclass(frozen=True)
class Fitted:
    """Trees over `features`; scale * margin + shift are calibrated log-odds. `importance` is the share of the gain."""

    trees: Booster
    features: tuple[str, ...]
    scale: float
    shift: float
    importance: dict[str, float]

    def probability(self, rows: Rows) -> np.ndarray:
        """The calibrated probability of each row."""
        margin = self.trees.predict(_data(rows, self.features), output_margin=True).astype(np.float64)
        return 1 / (1 + np.exp(-(self.scale * margin + self.shift)))


def informative(rows: Rows) -> tuple[str, ...]:
    """The columns that are not the same in all rows."""
    return tuple(
        name for name, column in rows.columns.items() if len(column) and not _constant(np.asarray(column))
    )


def enough(rows: Rows, purpose: str) -> None:
    """Raises ModelError when rows have too few of a kind."""
    positives = int(rows.label.sum())
    if positives < LEAST or len(rows) - positives < LEAST:
        raise ModelError(
            f"there are {positives} positives among {len(rows)} events to {purpose}: give at least {LEAST} of either "
            "kind, with more days of history (--from, --held-out)"
        )


def _constant(column: np.ndarray) -> bool:
    return bool(np.isnan(column).all() or (column == column[0]).all())


def _data(rows: Rows, features: Sequence[str]) -> DMatrix:
    matrix = np.column_stack([rows.columns[name] for name in features]).astype(np.float32)
    return DMatrix(matrix, rows.label, weight=rows.weight, feature_names=list(features))
