"""The model's inputs: ten features as numbers, by an encoder that is fitted once and kept with the model."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from examples.feature_store_api.warehouse import FEATURES
from streaming.errors import TidemarkError

WORDS = ("category", "gender")
NUMBERS = tuple(name for name in FEATURES if name not in WORDS)
LOGGED = ("amt", "avg_amt_last_1_hour", "city_pop", "distance_to_merchant")
"""Of these the logarithm is what is scaled."""


class WrongInputs(TidemarkError):
    """Rows that the model cannot read."""


@dataclass(frozen=True)
class Encoder:
    """`means` and `scales` of the numbers, `words` of the categories, all of the payments it was fitted on."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    words: dict[str, tuple[str, ...]]

    @classmethod
    def fitted(cls, frame: pd.DataFrame) -> Encoder:
        """The encoder for models of `frame`. Raises WrongInputs."""
        if frame.empty:
            raise WrongInputs("there are no payments: fill the warehouse first")
        numbers = _numbers(frame)
        spread = np.nanstd(numbers, axis=0)
        return cls(
            tuple(np.nanmean(numbers, axis=0).tolist()),
            tuple(np.where(spread > 0, spread, 1).tolist()),
            {name: tuple(sorted(frame[name].dropna().unique())) for name in WORDS},
        )

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return len(NUMBERS) + sum(map(len, self.words.values()))

    def matrix(self, frame: pd.DataFrame) -> np.ndarray:
        """float32, a row for each of `frame`; an unknown number is the mean, an unknown word none of the words.
        Raises WrongInputs naming what is missing or no number."""
        scaled = (_numbers(frame) - np.array(self.means)) / np.array(self.scales)
        parts = [np.nan_to_num(scaled, nan=0.0)]
        for name, words in self.words.items():
            parts.append(
                (frame[name].to_numpy()[:, None] == np.array(words, dtype=object)).astype(np.float64)
            )
        return np.hstack(parts).astype(np.float32)

    def text(self) -> str:
        """As kept beside a model."""
        return json.dumps({"means": self.means, "scales": self.scales, "words": self.words})

    @classmethod
    def of(cls, text: str) -> Encoder:
        """The encoder that `text` holds."""
        held = json.loads(text)
        words = {name: tuple(known) for name, known in held["words"].items()}
        return cls(tuple(held["means"]), tuple(held["scales"]), words)


def _numbers(frame: pd.DataFrame) -> np.ndarray:
    columns = []
    for name in FEATURES:
        if name not in frame:
            raise WrongInputs(f"there is no column {name}: the model needs all ten features")
    for name in NUMBERS:
        try:
            held = pd.to_numeric(frame[name]).to_numpy(np.float64)
        except (ValueError, TypeError) as error:
            raise WrongInputs(f"column {name} is not a number ({str(error)[:60]}): correct it") from error
        columns.append(np.log1p(held) if name in LOGGED else held)
    return np.column_stack(columns)
