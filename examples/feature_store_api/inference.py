"""Experiment 2: the features of cards as of now, read from the store against computed from raw payments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from examples.feature_store_api import baseline, filling
from examples.feature_store_api.training import Model, unlike
from examples.feature_store_api.warehouse import FEATURES
from examples.feature_store_api.world import World

PASSES = 3
SIZES = (1, 100, 0)
"""Cards asked for at once; 0 is all."""


@dataclass(frozen=True)
class Reading:
    """Seconds of each pass for `cards` cards: features from the store, from raw payments, and the network's time;
    `differing` of `values` feature values are not the same both ways."""

    cards: int
    store: Sequence[float]
    raw: Sequence[float]
    network: Sequence[float]
    values: int
    differing: int


def run(world: World, model: Model) -> list[Reading]:
    """Both ways for each of SIZES."""
    every = world.online.cards(1 << 30)
    return [_reading(world, model, every[:size] if size else every) for size in SIZES]


def _reading(world: World, model: Model, cards: list[str]) -> Reading:
    store, stored = _timed(lambda: from_store(world, cards))
    # The same moment for both: a window moves on between the passes.
    now = datetime.now(UTC)
    raw, computed = _timed(lambda: from_raw(world, cards, now))
    stored = from_store(world, cards)
    network, _ = _timed(lambda: model.probability(stored))
    return Reading(len(cards), store, raw, network, len(cards) * len(FEATURES), unlike(stored, computed))


def _timed(work: Callable[[], Any]) -> tuple[list[float], Any]:
    taken = []
    for _ in range(PASSES):
        began = time.monotonic()
        result = work()
        taken.append(time.monotonic() - began)
    return taken, result


def from_store(world: World, cards: Sequence[str]) -> pd.DataFrame:
    """The features of cards by the online store, in their order."""
    found = {card.number: card.stats for card in world.online.read(cards)}
    return pd.DataFrame([found[card] for card in cards])


def from_raw(world: World, cards: Sequence[str], now: datetime) -> pd.DataFrame:
    """The same of raw payments: the last one of each card, and those that the windows hold."""
    names, moment = list(cards), int(now.timestamp() * 1_000)
    since = datetime.fromtimestamp((moment - max(baseline.MEAN)) / 1_000, UTC)
    newest = (
        f'SELECT card_id, max("timestamp") FROM {filling.LANDED} WHERE card_id = ANY(%s) GROUP BY card_id'
    )
    with world.warehouse.connect() as db:
        last = filling.landed(db, where=f'(card_id, "timestamp") IN ({newest})', values=[names])
        held = filling.landed(
            db, where='card_id = ANY(%s) AND "timestamp" >= %s', values=[names, since], none=True
        )
    last = (
        filling.alone(last.drop_duplicates("cc_num", keep="last"))
        .set_index("cc_num")
        .loc[list(cards)]
        .reset_index()
    )
    who, when = last.cc_num.to_numpy(), np.full(len(last), moment)
    columns = (held["cc_num"].to_numpy(), held["at"].to_numpy(), held["amount"].to_numpy())
    count, _ = baseline.over(*columns, who, when, baseline.COUNT)
    hour, total = baseline.over(*columns, who, when, baseline.MEAN)
    with np.errstate(invalid="ignore", divide="ignore"):
        return last.assign(txn_count_last_10_min=count, avg_amt_last_1_hour=total / hour)[list(FEATURES)]
