"""What the model sees of a payment: fresh behaviour against usual behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

FEATURES = ("num_trans_last_10m", "avg_amt_last_10m", "num_trans_last_1w", "avg_amt_last_1w")
ORIGINAL = ("amount", "amt_ratio1", "amt_ratio2", "count_ratio")
"""The inputs of the original's model."""
COUNTED = ("trans_10m", "amt_10m", "trans_1w", "amt_1w")
"""FEATURES with the payment counted."""
INPUTS = (*ORIGINAL, *COUNTED)
"""The inputs of this model: a ratio alone does not tell one payment of a week's two from five of ten."""


def ratios(features: Mapping[str, Any], amount: Any, included: Any) -> dict[str, np.ndarray]:
    """INPUTS but for the amount, and `card_rule`, of each payment (arrays of one length; nulls are NaN or None).

    Where `included` is false the features do not count the payment yet, and it is added here: so a payment has the same
    numbers whether it is asked about before or after it went through the stream. Without anything to compare with, a
    ratio is 0.
    """
    count10, mean10, count7, mean7 = (_numbers(features[name]) for name in FEATURES)
    amount, outside = _numbers(amount), np.where(_numbers(included) > 0, 0.0, 1.0)
    count10, mean10 = _with(count10, mean10, amount, outside)
    count7, mean7 = _with(count7, mean7, amount, outside)
    return {
        "amt_ratio1": _ratio(mean10, mean7),
        "amt_ratio2": _ratio(amount, mean7),
        "count_ratio": _ratio(count10, count7),
        **dict(zip(COUNTED, (count10, mean10, count7, mean7), strict=True)),
        "card_rule": np.select([count10 >= 5, count10 >= 3, count10 >= 2], [1.0, 0.7, 0.4], 0.0),
    }


def _with(
    count: np.ndarray, mean: np.ndarray, amount: np.ndarray, more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    total = count * mean + more * amount
    count = count + more
    return count, np.divide(total, count, out=np.zeros(len(count)), where=count > 0)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def _numbers(values: Any) -> np.ndarray:
    return np.nan_to_num(np.asarray(values, float))
