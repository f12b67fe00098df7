"""Experiment 1: what training costs and how good it gets, with the store and without."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, precision_score, recall_score

from examples.feature_store_api import baseline, filling
from examples.feature_store_api.inputs import NUMBERS, WORDS, Encoder
from examples.feature_store_api.network import Network, Train
from examples.feature_store_api.online import SERVICE
from examples.feature_store_api.warehouse import TABLE
from examples.feature_store_api.world import World
from streaming.errors import TidemarkError

RUNS, SAMPLE, SEED = 3, 0.75, 42
LEARN, STOP = 0.60, 0.75
"""Where, in time, the payments to learn from end, and those to stop and to set the threshold by."""
PER_FRAUD = 5
"""Good payments to learn from for each fraud; payments to stop by and to judge by are as they come."""
MEASURES = ("F1", "PR-AUC", "precision", "recall", "accuracy")


class TooFew(TidemarkError):
    """Payments that nothing can be learned from."""


@dataclass(frozen=True)
class Model:
    """A network with its encoder, and the threshold that had the best F1 before the test. Probabilities are those at
    the real rate: what leaving out good payments did to them is undone by `shift`."""

    network: Network
    encoder: Encoder
    threshold: float
    shift: float

    def probability(self, frame: pd.DataFrame) -> np.ndarray:
        """Of fraud, for each row of the ten features. Raises WrongInputs."""
        return 1 / (1 + np.exp(-self.network.logits(self.encoder.matrix(frame)) - self.shift))


@dataclass(frozen=True)
class Way:
    """One way to a model: seconds that features took, before and in each run, that training took, epochs, and the
    measures of each run on the test."""

    ahead: float
    features: Sequence[float]
    training: Sequence[float]
    epochs: Sequence[int]
    measures: Sequence[dict[str, float]]


def from_store(world: World) -> pd.DataFrame:
    """Every payment with its features, by Feast's join as of each payment."""
    labels = f"SELECT cc_num, feature_timestamp AS event_timestamp, transaction_id, is_fraud FROM {TABLE}"
    found = world.store.get_historical_features(labels, world.store.get_feature_service(SERVICE)).to_df()
    return found.sort_values(["event_timestamp", "transaction_id"], ignore_index=True)


def from_raw(world: World) -> pd.DataFrame:
    """Every payment with its features, computed of what the history lane has landed."""
    with world.warehouse.connect() as db:
        raw = filling.landed(db)
    made = baseline.features(raw).rename(columns={"timestamp": "event_timestamp"})
    return made.sort_values(["event_timestamp", "transaction_id"], ignore_index=True)


def parts(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What to learn from (a sample of the earlier payments, good ones thinned), to stop by, and to judge by.

    Raises TooFew when a part has no fraud.
    """
    places = (frame.event_timestamp - frame.event_timestamp.min()) / np.ptp(frame.event_timestamp)
    early, middle, late = (
        frame[places < LEARN],
        frame[places.between(LEARN, STOP, "left")],
        frame[places >= STOP],
    )
    chance = np.random.default_rng(seed)
    early = early[chance.random(len(early)) < SAMPLE]
    for name, part in (("learn from", early), ("stop by", middle), ("judge by", late)):
        if part.is_fraud.nunique() < 2:
            raise TooFew(f"the {len(part)} payments to {name} have no fraud among them: simulate more events")
    fraud, good = early[early.is_fraud == 1], early[early.is_fraud == 0]
    kept = good.iloc[chance.permutation(len(good))[: PER_FRAUD * len(fraud)]]
    return pd.concat([fraud, kept]).assign(_share=len(kept) / len(good)), middle, late


def learned(learn: pd.DataFrame, stop: pd.DataFrame, train: Train, seed: int) -> tuple[Model, int]:
    """A model, and the epochs that it took."""
    encoder = Encoder.fitted(learn)
    labels, truth = learn.is_fraud.to_numpy(), stop.is_fraud.to_numpy()
    made = train(encoder.matrix(learn), labels, encoder.matrix(stop), truth, seed)
    shift = float(np.log(learn["_share"].iloc[0]))
    open_ = Model(made.network, encoder, 0.5, shift)
    p = open_.probability(stop)
    steps = np.unique(np.quantile(p, np.linspace(0.9, 0.9999, 200)))
    best = max(steps.tolist(), key=lambda step: f1_score(truth, p >= step))
    return Model(made.network, encoder, best, shift), made.epochs


def measured(model: Model, late: pd.DataFrame) -> dict[str, float]:
    """How good a model is on payments as they come."""
    y, p = late.is_fraud.to_numpy(), model.probability(late)
    said = p >= model.threshold
    found = (
        f1_score(y, said),
        average_precision_score(y, p),
        precision_score(y, said, zero_division=0),
        recall_score(y, said),
        accuracy_score(y, said),
    )
    return dict(zip(MEASURES, map(float, found), strict=True))


def run(world: World, train: Train) -> tuple[Way, Way, Model, int]:
    """Both ways, the store's last model, and how many feature values differ between the ways."""
    ahead = world.seconds["features as of each payment"] + world.seconds["into PostgreSQL"]
    stored, store_way, model = _way(world, from_store, ahead, train)
    raw, raw_way, _ = _way(world, from_raw, 0.0, train)
    return store_way, raw_way, model, differing(stored, raw)


def _way(
    world: World, read: Callable[[World], pd.DataFrame], ahead: float, train: Train
) -> tuple[pd.DataFrame, Way, Model]:
    features, training, epochs, measures = [], [], [], []
    for seed in range(SEED, SEED + RUNS):
        began = time.monotonic()
        frame = read(world)
        features.append(time.monotonic() - began)
        learn, stop, late = parts(frame, seed)
        began = time.monotonic()
        model, ran = learned(learn, stop, train, seed)
        training.append(time.monotonic() - began)
        epochs.append(ran)
        measures.append(measured(model, late))
    return frame, Way(ahead, features, training, epochs, measures), model


def differing(one: pd.DataFrame, other: pd.DataFrame) -> int:
    """How many feature values differ, payment by payment."""
    a, b = (f.set_index("transaction_id").sort_index() for f in (one, other))
    if not a.index.equals(b.index):
        raise TidemarkError("the two ways have different payments: fill the warehouse anew")
    return unlike(a, b)


def unlike(a: pd.DataFrame, b: pd.DataFrame) -> int:
    """How many feature values of two frames, row by row, differ by more than 1e-9 of their size."""
    wrong = sum(int((a[name].to_numpy() != b[name].to_numpy()).sum()) for name in WORDS)
    for name in NUMBERS:
        x, y = (frame[name].astype(float).to_numpy() for frame in (a, b))
        wrong += int((~np.isclose(x, y, rtol=1e-9, atol=1e-9, equal_nan=True)).sum())
    return wrong
