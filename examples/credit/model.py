"""The credit model: boosted trees whose log-odds are calibrated, with a threshold and a share for every feature."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from examples.credit.encoding import Encoder
from streaming.errors import TidemarkError


class NoModel(TidemarkError):
    """A model that is not there or does not fit."""


@dataclass(frozen=True)
class Model:
    """`slope` and `offset` turn the trees' log-odds into those of a default; a loan with a probability at or above
    `threshold` is not given. `about` says from what it was learned."""

    trees: xgboost.Booster
    encoder: Encoder
    slope: float
    offset: float
    threshold: float
    about: dict[str, Any]

    def probability(self, frame: pd.DataFrame) -> np.ndarray:
        """The probability of default of each row. Raises WrongColumns."""
        margin = self.trees.predict(data(self.encoder, frame), output_margin=True)
        return 1 / (1 + np.exp(-self.slope * margin.astype(np.float64) - self.offset))

    def shares(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What each feature adds to the log-odds of each row, against the average loan."""
        held = self.trees.predict(data(self.encoder, frame), pred_contribs=True)[:, :-1]
        return pd.DataFrame(self.slope * held.astype(np.float64), columns=list(self.encoder.columns))

    def save(self, folder: Path) -> None:
        """Write it to `folder`; readers find the old one or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        trees = self.trees.save_raw("json").decode()
        held = {
            "columns": self.encoder.columns,
            "known": self.encoder.known,
            "slope": self.slope,
            "offset": self.offset,
            "threshold": self.threshold,
            "about": self.about,
            "trees": json.loads(trees),
        }
        fresh = folder / "model.json.new"
        fresh.write_text(json.dumps(held))
        fresh.replace(folder / "model.json")

    @classmethod
    def load(cls, folder: Path) -> Model:
        """The model of `folder`. Raises NoModel when there is none or it cannot be read."""
        path = folder / "model.json"
        try:
            held = json.loads(path.read_text())
            trees = xgboost.Booster()
            trees.load_model(bytearray(json.dumps(held["trees"]).encode()))
            encoder = Encoder(tuple(held["columns"]), {n: tuple(w) for n, w in held["known"].items()})
            return cls(trees, encoder, held["slope"], held["offset"], held["threshold"], held["about"])
        except FileNotFoundError:
            raise NoModel(
                f"there is no model at {path}: run examples/credit/run.py, which trains one"
            ) from None
        except (ValueError, KeyError, xgboost.core.XGBoostError) as error:
            raise NoModel(f"{path} is not a model ({str(error)[:60]}): delete it and train again") from error


def data(encoder: Encoder, frame: pd.DataFrame) -> xgboost.DMatrix:
    """Rows as XGBoost takes them."""
    return xgboost.DMatrix(
        encoder.matrix(frame), feature_types=encoder.kinds, enable_categorical=True, nthread=1
    )
