"""What the model sees of an application and its features: numbers, ratios and codes of categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from examples.credit.tables import CREDIT
from streaming.errors import TidemarkError

ASKED = ("person_age", "person_income", "person_emp_length", "loan_amnt")
ZIP = ("tax_returns_filed", "population")
RATIOS = {
    "loan_to_income": ("loan_amnt", "person_income"),
    "debt_to_income": ("total_debt_due", "person_income"),
    "wage_in_zipcode": ("total_wages", "tax_returns_filed"),
}
CATEGORIES = ("person_home_ownership", "loan_intent", "state", "location_type")
"""Not the city, which has thousands of values: what it tells is in the zip code's numbers."""
PLAUSIBLE = {"person_age": 100, "person_emp_length": 60, "person_income": 5_000_000}
"""Numbers above these are slips of the pen, and count as unknown."""
LENDERS = "loan_int_rate"
"""Left out: the lender sets it from a view of the risk of their own."""


class WrongColumns(TidemarkError):
    """Rows that a model cannot read."""


@dataclass(frozen=True)
class Encoder:
    """`columns` in the order of the model; `known` holds the words of each category seen in training."""

    columns: tuple[str, ...]
    known: Mapping[str, tuple[str, ...]]

    @classmethod
    def fitted(cls, frame: pd.DataFrame, *, with_rate: bool = False) -> Encoder:
        """The encoder for models of `frame`; columns that say the same of every row are left out."""
        known = {name: tuple(sorted(frame[name].dropna().unique())) for name in CATEGORIES}
        names = (
            *ASKED,
            *((LENDERS,) if with_rate else ()),
            *CREDIT,
            "total_debt_due",
            *ZIP,
            *RATIOS,
            *CATEGORIES,
        )
        every = cls(names, known).matrix(frame)
        telling = [n for i, n in enumerate(names) if len(np.unique(every[~np.isnan(every[:, i]), i])) > 1]
        return cls(tuple(telling), known)

    @property
    def kinds(self) -> list[str]:
        """Each column's type, as XGBoost names it."""
        return ["c" if name in CATEGORIES else "q" for name in self.columns]

    def matrix(self, frame: pd.DataFrame) -> np.ndarray:
        """A row for each of `frame`; unknown words and numbers are NaN. Raises WrongColumns for what is missing."""
        needed = {part for name in self.columns for part in RATIOS.get(name, (name,))}
        for name in sorted(needed - set(frame.columns)):
            raise WrongColumns(f"there is no column {name}: give it, or train again without it")
        return np.column_stack([self._column(frame, name) for name in self.columns])

    def _column(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        if name in CATEGORIES:
            codes = {word: float(i) for i, word in enumerate(self.known[name])}
            return frame[name].map(codes).to_numpy(np.float64)
        if name in RATIOS:
            above, below = (self._number(frame, part) for part in RATIOS[name])
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(below > 0, above / below, np.nan)
        return self._number(frame, name)

    def _number(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        try:
            held = pd.to_numeric(frame[name]).to_numpy(np.float64)
        except (ValueError, TypeError) as error:
            raise WrongColumns(f"column {name} is not a number ({str(error)[:60]}): correct it") from error
        return np.where(held > PLAUSIBLE.get(name, np.inf), np.nan, held)

    def unseen(self, row: Mapping[str, object]) -> list[str]:
        """Categories of one application whose word training never met."""
        return [
            name for name in CATEGORIES if row.get(name) is not None and row[name] not in self.known[name]
        ]
