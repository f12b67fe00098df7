"""Learning from past loans: an earlier part to learn, a later one to calibrate, the latest only to be judged by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

from examples.credit.encoding import LENDERS, Encoder
from examples.credit.model import Model, data
from examples.credit.quality import Costs, Quality
from examples.credit.settings import CreditSettings
from examples.credit.tables import CREDIT, WrongTable

CALIBRATE, TEST = 0.62, 0.77
"""Where the parts of the time between first and last loan end."""
PARAMETERS = {
    "objective": "binary:logistic",
    "eta": 0.05,
    "max_depth": 4,
    "min_child_weight": 20,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "seed": 1,
    # More threads wait for each other, which on a busy machine took thirty times as long.
    "nthread": 1,
}
ROUNDS = 250


@dataclass(frozen=True)
class Split:
    """Loans by time, no loan of a part later than one of the next."""

    learn: pd.DataFrame
    calibrate: pd.DataFrame
    test: pd.DataFrame

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Split:
        """Raises WrongTable when a part has no defaults or nothing but defaults."""
        at = frame.event_timestamp
        span = at.max() - at.min()
        first, second = (at.min() + span * share for share in (CALIBRATE, TEST))
        parts = frame[at < first], frame[(at >= first) & (at < second)], frame[at >= second]
        for name, part in zip(("learning", "calibrating", "testing"), parts, strict=True):
            if part.loan_status.nunique() < 2:
                raise WrongTable(f"the {len(part)} loans for {name} all ended alike: give more of them")
        return cls(*parts)

    @property
    def days(self) -> tuple[datetime, datetime]:
        """The first moments of calibrating and testing."""
        return self.calibrate.event_timestamp.min(), self.test.event_timestamp.min()


def learned(split: Split, settings: CreditSettings, *, with_rate: bool = False, digest: str = "") -> Model:
    """A calibrated model with the threshold that cost least on the loans it was calibrated on."""
    encoder = Encoder.fitted(split.learn, with_rate=with_rate)
    rows = data(encoder, split.learn)
    rows.set_label(split.learn.loan_status.to_numpy())
    trees = xgboost.train(PARAMETERS, rows, ROUNDS)
    margin = trees.predict(data(encoder, split.calibrate), output_margin=True).reshape(-1, 1)
    line = LogisticRegression(C=1e6).fit(margin, split.calibrate.loan_status)
    calibrated = line.predict_proba(margin)[:, 1]
    threshold = Costs.of(settings).cheapest(calibrated, split.calibrate)
    stamps = split.learn.event_timestamp
    about = {
        "digest": digest,
        "loans": len(split.learn),
        "from": str(stamps.min()),
        "to": str(stamps.max()),
        "calibrated_on": len(split.calibrate),
    }
    return Model(trees, encoder, float(line.coef_[0, 0]), float(line.intercept_[0]), threshold, about)


def judged(model: Model, split: Split, settings: CreditSettings) -> tuple[Quality, np.ndarray]:
    """How good a model is on the latest loans, and its probabilities of them."""
    p = model.probability(split.test)
    return Quality.of(p, split.test, model.threshold, Costs.of(settings)), p


@dataclass(frozen=True)
class Tree:
    """The original's model: an unpruned tree over ordinal codes. `unseen` loans of the test have a word that its
    encoder never met, at which the original fails; here such a word is -1."""

    quality: Quality
    in_sample: float
    unseen: int
    probability: np.ndarray


def original(split: Split, settings: CreditSettings) -> Tree:
    """The original's method on the same split."""
    words = ["person_home_ownership", "loan_intent", "city", "state", "location_type"]
    dropped = ["loan_status", "event_timestamp", "loan_id", "zipcode", "dob_ssn"]
    known = split.learn[words].fillna("none")
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(known)

    def rows(part: pd.DataFrame) -> pd.DataFrame:
        part = part.copy()
        part[words] = encoder.transform(part[words].fillna("none"))
        return part.drop(columns=dropped)[sorted(set(part.columns) - set(dropped))]

    tree = DecisionTreeClassifier(random_state=0).fit(rows(split.learn), split.learn.loan_status)
    p = tree.predict_proba(rows(split.test))[:, 1]
    unseen = (rows(split.test)[words] == -1).any(axis=1).sum()
    quality = Quality.of(p, split.test, 0.5, Costs.of(settings))
    return Tree(quality, tree.score(rows(split.learn), split.learn.loan_status), int(unseen), p)


def hindsight(frame: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The same loans with the newest credit record of each applicant, which already knows how the loan ended."""
    newest = (
        history.sort_values("event_timestamp").drop_duplicates("dob_ssn", keep="last").set_index("dob_ssn")
    )
    known = newest[list(CREDIT)].reindex(frame.dob_ssn).reset_index(drop=True)
    changed = frame.copy()
    changed[list(CREDIT)] = known.to_numpy(np.float64)
    return changed


def digest(frame: pd.DataFrame, settings: CreditSettings) -> str:
    """Changes when the loans, their features, the costs or the method do."""
    held = hashlib.blake2s(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    rest = [
        sorted(frame.columns),
        PARAMETERS,
        ROUNDS,
        CALIBRATE,
        TEST,
        LENDERS,
        settings.loss_given_default,
        settings.margin,
    ]
    held.update(json.dumps(rest).encode())
    return held.hexdigest()[:16]
