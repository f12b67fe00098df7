"""A model as it is served: its card and its trees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from xgboost import Booster
from xgboost.core import XGBoostError

from streaming.errors import TidemarkError
from streaming.history.version import definition
from streaming.plan import Plan, View
from training.models.card import Card, Version

TREES, CARD = "trees.ubj", "card.json"


class ModelError(TidemarkError):
    """A model that is not there, is damaged, or does not fit the features."""


class Model:
    """One version of a model. Predicting is safe from several threads at once."""

    def __init__(self, card: Card, trees: Booster) -> None:
        self.card = card
        trees.set_param({"nthread": 1})
        self._trees = trees

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def version(self) -> str:
        return self.card.version

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that `probability` needs: short names of the card's feature service, and its request data."""
        return self.card.features

    def probability(self, columns: Mapping[str, Any]) -> np.ndarray:
        """The calibrated probability (float64, 0 to 1) of each row; None and NaN are nulls, which trees know.

        `columns` hold arrays of numbers or truth values of one length under the names of `features`, and may hold others.
        Raises ModelError when one is missing or holds anything else.
        """
        return 1 / (1 + np.exp(-self.log_odds(columns)))

    def log_odds(self, columns: Mapping[str, Any]) -> np.ndarray:
        """The logarithm of the odds behind `probability`."""
        margin = self._trees.inplace_predict(
            self._matrix(columns), predict_type="margin", validate_features=False
        )
        return self.card.scale * margin.astype(np.float64) + self.card.shift

    def _matrix(self, columns: Mapping[str, Any]) -> np.ndarray:
        missing = [name for name in self.features if name not in columns]
        if missing:
            raise ModelError(
                f"model {self.name} {self.version} needs {missing[0]}, which is not among the features: serve "
                f"{self.card.service} whole, or run `tidemark retrain {self.name}`"
            )
        if not self.features:
            raise ModelError(f"model {self.name} {self.version} has no features: train it again")
        matrix = np.empty((len(columns[self.features[0]]), len(self.features)), np.float32)
        for number, name in enumerate(self.features):
            try:
                matrix[:, number] = columns[name]
            except (TypeError, ValueError) as error:
                raise ModelError(
                    f"model {self.name} {self.version} cannot read {name} as numbers ({error}): give it as the feature "
                    "service does"
                ) from error
        return matrix


def load(folder: Path, plan: Plan | None = None) -> Model:
    """The model in a folder.

    With a `plan` its definitions must be those of the model's training. Raises ModelError when the folder holds no
    whole model, or a definition is another.
    """
    remedy = "train it again, or promote another version (`tidemark models list`)"
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
        content = (folder / TREES).read_bytes()
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"the model in {folder} cannot be read ({_short(error)}): {remedy}") from error
    if digest(content) != card.digest:
        raise ModelError(f"the model in {folder} is not the file that was saved: {remedy}")
    trees = Booster()
    try:
        trees.load_model(bytearray(content))
    except XGBoostError as error:
        raise ModelError(f"the model in {folder} cannot be read ({_short(error)}): {remedy}") from error
    if plan is not None:
        check(card, plan)
    return Model(card, trees)


def check(card: Card, plan: Plan) -> None:
    """Raises ModelError unless `plan` defines the card's views as they were when the model was trained."""
    views = {view.name: view for view in plan.views}
    for name, held in card.definitions.items():
        if name not in views:
            change = "is not in the plan"
        else:
            now = version(plan, views[name])
            compiled = bool(views[name].timestamp)
            same = now.full == held.full if compiled else now.shape == held.shape
            change = "" if same else "has changed since it was trained"
        if change:
            raise ModelError(
                f"model {card.name} {card.version} does not fit: view {name} {change}; run `tidemark retrain {card.name}`"
            )


def version(plan: Plan, view: View) -> Version:
    """Both versions of a view's definition; `full` means nothing of a view with a udf that Spark did not compile."""
    bare = replace(view, keys=(), columns=(), timestamp="", condition="")
    return Version(definition(plan, view), definition(plan, bare))


def digest(content: bytes) -> str:
    """What tells one file of trees from another."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
