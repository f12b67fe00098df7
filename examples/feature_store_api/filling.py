"""The engine's features as of each payment and the payment's own fields -> the warehouse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from pyarrow import dataset as ds

from examples.feature_store_api import formulas
from examples.feature_store_api.warehouse import COLUMNS, Warehouse
from streaming.errors import TidemarkError

RAW = {
    "transaction_id": "text",
    "timestamp": "timestamptz",
    "card_id": "text",
    "amount": "double precision",
    "home_lat": "double precision",
    "home_long": "double precision",
    "merchant_lat": "double precision",
    "merchant_long": "double precision",
    "date_of_birth": "text",
    "category": "text",
    "gender": "text",
    "city_population": "bigint",
    "is_fraud": "boolean",
}
"""What features are made of, in the table where the history lane lands payments."""
LANDED = "events_transactions"


class WrongPayments(TidemarkError):
    """Landed payments that no features can be made of."""


def emptied(folder: Path) -> None:
    """Delete what an earlier run made."""
    for name in ("services", "history", "online", "lane", "repo"):
        shutil.rmtree(folder / name, ignore_errors=True)


def fill(warehouse: Warehouse, history: Path) -> int:
    """Put every payment with its features into the warehouse; how many there were. Raises WrongPayments."""
    with warehouse.connect() as db:
        payments = landed(db, "_partition", "_offset")
    place = history / "features" / "card_activity"
    if not place.is_dir():
        raise WrongPayments(f"there are no features in {place}: run tidemark backfill")
    names = ["_partition", "_offset", "txn_count_last_10_min", "avg_amt_last_1_hour"]
    windowed = ds.dataset(place, partitioning=None).to_table(names).to_pandas()
    joined = payments.merge(windowed, on=["_partition", "_offset"], validate="one_to_one")
    if len(joined) != len(payments):
        raise WrongPayments(
            f"{len(payments) - len(joined)} payments have no windowed features: run the backfill again"
        )
    inserted, _ = warehouse.insert(_rows(alone(joined)))
    with warehouse.connect() as db:
        # Who computes features of raw payments would not go without either.
        db.execute(f'CREATE INDEX IF NOT EXISTS {LANDED}_by_card ON {LANDED} (card_id, "timestamp")')
        db.execute(f"ANALYZE {LANDED}")
    return inserted


def landed(
    db: psycopg.Connection[Any],
    *more: str,
    where: str = "true",
    values: list[Any] | None = None,
    none: bool = False,
) -> pd.DataFrame:
    """Raw payments in the order of card and time. Raises WrongPayments when columns are missing, or when there are no
    payments and `none` are not allowed."""
    names = [*RAW, *more]
    known = db.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0", [LANDED]
    )
    held = {name for (name,) in known.fetchall()}
    if not held:
        raise WrongPayments(
            f"there is no table {LANDED}: run tidemark stream history with --sink postgresql://..."
        )
    for name in names:
        if name not in held:
            raise WrongPayments(
                f"{LANDED} has no column {name}: see that the lane reads the payments' contract"
            )
    columns = ", ".join(f'"{name}"' for name in names)
    found = db.execute(
        f'SELECT {columns} FROM {LANDED} WHERE {where} ORDER BY card_id, "timestamp", _partition, _offset',
        values,
    ).fetchall()
    if not found and not none:
        raise WrongPayments(f"{LANDED} has no such payments: send some, and run the history lane")
    frame = pd.DataFrame(found, columns=names)
    frame["cc_num"] = frame.card_id
    frame["at"] = (
        frame["timestamp"]
        .dt.tz_convert("UTC")
        .dt.tz_localize(None)
        .to_numpy()
        .astype("datetime64[ms]")
        .astype(np.int64)
    )
    return frame


def alone(payments: pd.DataFrame) -> pd.DataFrame:
    """Payments with the features that need no other payment."""
    at = payments["at"].to_numpy()
    born = payments.date_of_birth.astype(str).to_numpy().astype("datetime64[D]")
    spots = (
        payments[name].to_numpy(np.float64)
        for name in ("home_lat", "home_long", "merchant_lat", "merchant_long")
    )
    return payments.assign(
        amt=payments.amount,
        hour_of_day=formulas.hour_of_day(at),
        day_of_week=formulas.day_of_week(at),
        age_at_txn=formulas.age(at, born),
        distance_to_merchant=formulas.distance(*spots),
        city_pop=payments.city_population,
        is_fraud=payments.is_fraud.astype(np.int64),
        feature_timestamp=payments["timestamp"],
    )


def _rows(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    held = frame[list(COLUMNS)].astype(object)
    held = held.where(held.notna(), None)
    return held.itertuples(index=False, name=None)
