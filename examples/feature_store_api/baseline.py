"""Without a store: the windowed features computed from raw payments, by columns, where they are needed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from examples.feature_store_api.filling import alone

COUNT, MEAN = (600_000, 30_000), (3_600_000, 300_000)
"""Length and slide, milliseconds, of the 10-minute count and the 1-hour mean: as the views define them."""


def features(payments: pd.DataFrame) -> pd.DataFrame:
    """Payments (as `filling.landed` returns them) with all ten features as of each."""
    return windowed(alone(payments))


def windowed(payments: pd.DataFrame) -> pd.DataFrame:
    """`payments` with the two windowed features as of each of them."""
    card, at, amount = (payments[name].to_numpy() for name in ("cc_num", "at", "amount"))
    count, _ = over(card, at, amount, card, at, COUNT)
    hour, total = over(card, at, amount, card, at, MEAN)
    return payments.assign(txn_count_last_10_min=count, avg_amt_last_1_hour=total / hour)


def over(
    card: np.ndarray,
    at: np.ndarray,
    amount: np.ndarray,
    who: np.ndarray,
    when: np.ndarray,
    window: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Count and sum of the payments of card `who` in the window at `when`, both included.

    The window begins where the engine's does: `length` before the end of the slide that `when` lies in.
    """
    length, slide = window
    names, known = np.unique(card, return_inverse=True)
    code = np.minimum(np.searchsorted(names, who), max(len(names) - 1, 0))
    asked = np.where(names[code] == who, code, len(names)) if len(names) else np.zeros(len(who), np.int64)
    start = (when // slide + 1) * slide - length
    # Card and time as one number: moments are below 2**43.
    place = (known << 43) + at
    order = np.argsort(place, kind="stable")
    place, total = place[order], np.concatenate([[0.0], np.cumsum(amount[order])])
    first = np.searchsorted(place, (asked << 43) + start, "left")
    last = np.searchsorted(place, (asked << 43) + when, "right")
    return last - first, total[last] - total[first]
