"""One application -> approved, rejected or referred to a person, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from examples.credit.features import Record
from examples.credit.model import Model
from streaming.errors import TidemarkError

Outcome = Literal["approved", "rejected", "referred"]
SAYS = {
    "approved": "Loan approved!",
    "rejected": "Loan rejected!",
    "referred": "Referred to a person.",
}
REASONS = {
    "Missed payments": ("missed_payments_6m", "missed_payments_1y", "missed_payments_2y"),
    "Bankruptcies on record": ("bankruptcies",),
    "Recent requests for credit": ("hard_pulls",),
    "Size of the loan against income": ("loan_amnt", "person_income", "loan_to_income"),
    "Debts against income": (
        "credit_card_due",
        "mortgage_due",
        "student_loan_due",
        "vehicle_loan_due",
        "total_debt_due",
        "debt_to_income",
    ),
    "Length of employment": ("person_emp_length",),
    "Age": ("person_age",),
    "Housing": ("person_home_ownership",),
    "Purpose of the loan": ("loan_intent",),
    "Interest rate": ("loan_int_rate",),
    "Place of residence": (
        "state",
        "location_type",
        "tax_returns_filed",
        "population",
        "wage_in_zipcode",
    ),
}
MOST = 4
TELLING = 0.05


class WrongApplication(TidemarkError):
    """An application that cannot be decided on."""


class Application(BaseModel):
    """What an applicant states. `loan_int_rate` is taken and not used: it follows from the decision."""

    model_config = ConfigDict(extra="forbid")

    zipcode: int = Field(76104, ge=501, le=99_950)
    dob_ssn: str = Field("19630621_4278", pattern=r"^\d{8}_\d{4}$")
    person_age: int = Field(58, ge=18, le=100)
    person_income: int = Field(59_000, gt=0, le=10_000_000)
    person_home_ownership: str = "RENT"
    person_emp_length: float = Field(12.0, ge=0, le=60)
    loan_intent: str = "PERSONAL"
    loan_amnt: int = Field(35_000, ge=500, le=35_000)
    loan_int_rate: float | None = Field(None, gt=0, lt=100)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Application:
        """Raises WrongApplication naming the first field that is wrong."""
        try:
            return cls.model_validate(dict(given))
        except ValidationError as wrong:
            first = wrong.errors(include_url=False, include_context=False)[0]
            name = ".".join(str(part) for part in first["loc"])
            raise WrongApplication(f"{name}: {first['msg']}; correct it and apply again") from None


@dataclass(frozen=True)
class Reason:
    """`share` is what it adds to the log-odds of a default, against the average loan."""

    text: str
    share: float


@dataclass(frozen=True)
class Decision:
    """`reasons` speak against the applicant, the strongest first; `notes` say what was unknown or old."""

    outcome: Outcome
    probability: float
    threshold: float
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        return SAYS[self.outcome]


def decide(
    model: Model, application: Application, record: Record, today: datetime, stale: timedelta
) -> Decision:
    """The decision on an application with what is known of the applicant, at the moment `today` (UTC).

    Nobody is rejected for want of a credit record, or for one that is older than `stale`: a person decides.
    """
    row = {**record.values, **application.model_dump(exclude={"dob_ssn", "zipcode"})}
    frame = pd.DataFrame([row])
    p = float(model.probability(frame)[0])
    notes = [
        f"{name} {row[name]!r} was never seen in training: taken as unknown"
        for name in model.encoder.unseen(row)
    ]
    if not record.zip_known:
        notes.append(f"nothing is known of zip code {application.zipcode}")
    outcome: Outcome = "rejected" if p >= model.threshold else "approved"
    if record.stamped is None:
        notes.append("there is no credit record of this applicant")
        outcome = "referred"
    elif today - record.stamped > stale:
        notes.append(
            f"the credit record is of {record.stamped:%Y-%m-%d}, {(today - record.stamped).days} days old"
        )
        outcome = "referred"
    return Decision(outcome, p, model.threshold, _reasons(model, frame), tuple(notes))


def _reasons(model: Model, frame: pd.DataFrame) -> tuple[Reason, ...]:
    shares = model.shares(frame).iloc[0]
    summed = [Reason(text, float(shares.reindex(list(names)).sum())) for text, names in REASONS.items()]
    against = sorted((r for r in summed if r.share > TELLING), key=lambda r: -r.share)
    return tuple(against[:MOST])
