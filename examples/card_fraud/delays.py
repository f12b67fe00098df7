"""What fresh features are worth: the ten-minute aggregates as they were some time before each payment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import parquet as pq
from pyspark.sql import functions as F

from examples.card_fraud.learning import PARAMETERS, ROUNDS
from examples.card_fraud.ratios import FEATURES, INPUTS, ratios
from streaming.history import store
from training import training_set
from training.models.card import Period
from training.models.fit import Boosting, Fitted
from training.models.measures import measure
from training.models.rows import Reader, Rows

DELAYS = {
    "0 s": timedelta(0),
    "10 s": timedelta(seconds=10),
    "1 min": timedelta(minutes=1),
    "10 min": timedelta(minutes=10),
    "1 day": timedelta(days=1),
}
FRESH = FEATURES[:2]
OTHERS = 40_000
"""Honest payments that are measured, besides every fraud; each stands for several."""


@dataclass(frozen=True)
class Worth:
    """PR-AUC and recall at 0.5 % alerts on the held-out weeks: of the same model, and of one trained on such features."""

    delay: str
    pr_auc: float
    recall: float
    pr_auc_trained: float
    recall_trained: float


def worth(reader: Reader, model: Fitted, period: Period, folder: Path, alert_rate: float) -> list[Worth]:
    """Measure every delay. With a delay the payment itself is not in the ten minutes, as no payment after it is."""
    asked = _payments(reader, period)
    labels = pd.concat(
        [asked.assign(delay=name, event_timestamp=asked["at"] - delay) for name, delay in DELAYS.items()],
        ignore_index=True,
    )
    out = folder / "delays.parquet"
    views = [f"card_aggregates:{name}" for name in FEATURES]
    training_set(reader.store, labels, views, out, spark=reader.spark, settings=reader.settings)
    held = pq.read_table(out).to_pandas()
    fresh = held[held["delay"] == next(iter(DELAYS))].reset_index(drop=True)
    found = []
    for name in DELAYS:
        rows = _rows(fresh, held[held["delay"] == name].reset_index(drop=True))
        test = rows.between(period.held_out, period.until)
        again = Boosting(PARAMETERS, ROUNDS, patience=None).fit(
            rows.between(period.since, period.tuned), rows.between(period.tuned, period.held_out), INPUTS
        )
        same, own = (
            measure(test.label, m.probability(test), test.weight, alert_rate) for m in (model, again)
        )
        found.append(Worth(name, same.pr_auc, same.recall, own.pr_auc, own.recall))
    return found


def _payments(reader: Reader, period: Period) -> pd.DataFrame:
    """Every fraud and a sample of the others, in order of time, with the number of payments that each stands for."""
    held = store.events(reader.spark, reader.settings.history, reader.recipe.source)
    held = held.where(F.col("timestamp").between(*map(_instant, (period.since, period.until))))
    (others,) = held.agg(F.count_if(~F.col("is_fraud"))).collect()[0]
    share = min(1.0, OTHERS / max(others, 1))
    chosen = held.where(F.col("is_fraud") | (F.pmod(F.xxhash64("tid"), F.lit(1_000_000)) < share * 1e6))
    columns = ("card_id", "amount", "is_fraud", F.unix_micros("timestamp").alias("micros"))
    table = chosen.select(*columns).toPandas().sort_values("micros", ignore_index=True)
    table["at"] = pd.to_datetime(table["micros"], unit="us", utc=True)
    return table.assign(weight=np.where(table["is_fraud"], 1.0, 1 / share))


def _instant(moment: datetime):
    return F.timestamp_micros(F.lit(round(moment.timestamp() * 1e6)))


def _rows(fresh: pd.DataFrame, delayed: pd.DataFrame) -> Rows:
    """The week is as of the payment; the ten minutes are what `delayed` says."""
    features = {name: (delayed if name in FRESH else fresh)[name].to_numpy(float) for name in FEATURES}
    amount = fresh["amount"].to_numpy(float)
    columns = {"amount": amount, **ratios(features, amount, np.ones(len(amount)))}
    return Rows(
        columns,
        fresh["is_fraud"].to_numpy(bool),
        fresh["weight"].to_numpy(float),
        fresh["micros"].to_numpy(np.int64),
        fresh["card_id"].to_numpy(),
    )
