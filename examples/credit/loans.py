"""Loan applications, what became of them, and the credit record of each month before and after."""

from __future__ import annotations

import numpy as np
import pandas as pd

from examples.credit.applicants import BEFORE, FIRST_MONTH, MONTHS, Applicants, grid
from generators.draws import Floats, Ints

DEFAULT_RATE = 0.2166
FIRST_DAY, DAYS = np.datetime64("2020-08-25"), 365
HOMES = ("RENT", "MORTGAGE", "OWN", "OTHER")
INTENTS = ("EDUCATION", "MEDICAL", "VENTURE", "PERSONAL", "DEBTCONSOLIDATION", "HOMEIMPROVEMENT")
AFTER_DEFAULT = 3
"""Months from a loan to the missed payments that a default brings."""


def records(people: Applicants, months: int = MONTHS) -> dict[str, np.ndarray]:
    """The credit record without any loan of ours: a matrix (applicant, month) for each feature."""
    draws, rows, span = people.draws, people.row, BEFORE + months
    missed = grid(draws, "missed", rows, span) < np.exp(-4.2 + 0.85 * people.risk)[:, None]
    pulls = grid(draws, "pulls", rows, span) < (0.09 + 0.035 * np.clip(people.risk, -2, 3))[:, None]
    ruined = grid(draws, "ruin", rows, span) < np.exp(-6.6 + 0.7 * people.risk)[:, None]
    drift = 1 + 0.03 * np.cumsum(grid(draws, "drift", rows, months) - 0.48, axis=1)

    def debt(lane: str, most: float, share: float, of_income: float) -> np.ndarray:
        has = (draws.uniform(f"has {lane}", rows) < share)[:, None]
        size = of_income * people.income * np.exp(0.6 * draws.normal(lane, rows) + 0.1 * people.risk)
        return np.clip(has * size[:, None] * drift, 0, most).astype(np.int64)

    return {
        "credit_card_due": debt("card", 10_000, 0.9, 0.05),
        "mortgage_due": debt("mortgage", 2_000_000, 0.45, 2.6),
        "student_loan_due": debt("student", 50_000, 0.35, 0.3),
        "vehicle_loan_due": debt("vehicle", 30_000, 0.55, 0.2),
        "hard_pulls": np.minimum(rolled(pulls, 24), 10),
        "missed_payments_2y": np.minimum(rolled(missed, 24), 7),
        "missed_payments_1y": np.minimum(rolled(missed, 12), 3),
        "missed_payments_6m": np.minimum(rolled(missed, 6), 1),
        "bankruptcies": np.minimum(np.cumsum(ruined, axis=1)[:, BEFORE:], 2),
    }


def rolled(happened: np.ndarray, months: int) -> Ints:
    """How often in the last `months`, for each month after the first two years."""
    total = np.cumsum(happened, axis=1, dtype=np.int64)
    return total[:, BEFORE:] - total[:, BEFORE - months : -months]


def applications(
    people: Applicants, record: dict[str, np.ndarray], wages: Floats, count: int
) -> pd.DataFrame:
    """`count` loans with their outcome; `wages` is the mean wage of each applicant's zip code. The last applicant
    has none; a few others have two."""
    draws = people.draws
    who = np.arange(count) % max(len(people) - 1, 1)
    who[: count - min(5, count)] = np.arange(count - min(5, count))
    n = np.arange(count)
    second = (draws.uniform("when", n) * DAYS * 86_400).astype("timedelta64[s]")
    at = FIRST_DAY.astype("datetime64[s]") + second
    age = ((at.astype("datetime64[D]") - people.birth[who]).astype(np.int64) / 365.25).astype(np.int64)
    income = np.maximum(people.income[who], 4_000)
    employed = np.minimum(
        np.clip(age - 18, 0, 45), np.floor(-5 * np.log1p(-draws.uniform("employed", n)))
    ).astype(float)
    home = np.searchsorted(
        [0.50, 0.91, 0.99], np.clip(draws.uniform("home", n) + (income - 60_000) / 400_000, 0, 0.999)
    )
    intent = draws.integers("intent", n, 0, len(INTENTS))
    amount = np.clip(9_000 * np.exp(0.65 * draws.normal("amount", n)), 500, 35_000) // 25 * 25
    month = (at.astype("datetime64[M]") - FIRST_MONTH).astype(np.int64)
    held = {name: values[who, month] for name, values in record.items()}
    debt = sum(held[name] for name in ("credit_card_due", "student_loan_due", "vehicle_loan_due"))
    score = (
        0.85 * people.risk[who]
        + 0.8 * held["missed_payments_6m"]
        + 0.45 * held["missed_payments_1y"]
        + 0.15 * held["missed_payments_2y"]
        + 0.5 * held["bankruptcies"]
        + 0.1 * held["hard_pulls"]
        + 4.5 * np.minimum(amount / income, 1)
        + 0.5 * np.minimum(debt / income, 2)
        - 0.04 * np.minimum(employed, 20)
        - 0.9 * np.log(np.maximum(wages[who], 1) / 34_000)
        + np.array([0.35, -0.2, -0.8, 0.3])[home]
        + np.array([-0.2, 0.3, -0.35, 0.0, 0.35, 0.1])[intent]
    )
    chance = shifted(score, DEFAULT_RATE)
    rate = 11 + 1.6 * (score - score.mean() + 0.9 * draws.normal("lender", n))
    loans = pd.DataFrame(
        {
            "loan_id": 10_000 + n,
            "applicant": who,
            "zipcode": people.zipcode[who],
            "person_age": age,
            "person_income": income.astype(np.int64),
            "person_home_ownership": np.array(HOMES)[home],
            "person_emp_length": employed,
            "loan_intent": np.array(INTENTS)[intent],
            "loan_amnt": amount.astype(np.int64),
            "loan_int_rate": np.clip(rate, 5.42, 23.22).round(2),
            "loan_status": systematic(chance),
            "event_timestamp": pd.to_datetime(at, utc=True),
            "created_timestamp": pd.to_datetime(at + np.timedelta64(1, "h"), utc=True),
        }
    )
    return mistyped(loans)


def shifted(score: Floats, rate: float) -> Floats:
    """Probabilities with these log-odds but for a constant, and the mean `rate`."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-score - middle))).mean() < rate:
            low = middle
        else:
            high = middle
    return 1 / (1 + np.exp(-score - low))


def systematic(chance: Floats) -> Ints:
    """Zeros and ones with these probabilities whose sum is that of the probabilities, to one."""
    total = np.floor(np.cumsum(chance) + 0.5).astype(np.int64)
    return np.diff(total, prepend=0)


def mistyped(loans: pd.DataFrame) -> pd.DataFrame:
    """The same with the few slips of the pen that such tables have."""
    loans.loc[[11, 111], "person_emp_length"] = 123.0
    loans.loc[[12, 112], "person_age"] = [144, 123]
    loans.loc[13, "person_income"] = 6_000_000
    return loans


def history(people: Applicants, record: dict[str, np.ndarray], loans: pd.DataFrame) -> pd.DataFrame:
    """A row for each applicant and month, as the bureau sends it on the 1st. Loans leave their traces: a hard pull,
    and missed payments after a default. One applicant in thirty has no record."""
    months = next(iter(record.values())).shape[1]
    when = np.arange(months)
    first = (
        loans.event_timestamp.dt.tz_localize(None).to_numpy().astype("datetime64[M]") - FIRST_MONTH
    ).astype(np.int64)
    row = loans.applicant.to_numpy()
    since = np.full(len(people), 1_000)
    since[row] = first
    failed = np.full(len(people), 1_000)
    failed[row[loans.loan_status == 1]] = first[loans.loan_status == 1] + AFTER_DEFAULT
    late = np.clip(when - failed[:, None] + 1, 0, 7)
    after = dict(record)
    after["hard_pulls"] = np.minimum(after["hard_pulls"] + (when > since[:, None]), 10)
    for name, most in (("missed_payments_2y", 7), ("missed_payments_1y", 3), ("missed_payments_6m", 1)):
        after[name] = np.minimum(after[name] + late, most)
    known = people.draws.uniform("known", people.row) >= 1 / 30
    known[-1] = True
    rows = np.flatnonzero(known)
    stamps = pd.to_datetime((FIRST_MONTH + when).astype("datetime64[s]") + np.timedelta64(6, "h"), utc=True)
    frame = {
        "applicant": np.repeat(rows, months),
        **{name: values[rows].ravel() for name, values in after.items()},
    }
    made = pd.DataFrame(frame)
    made["event_timestamp"] = np.tile(stamps, len(rows))
    made["created_timestamp"] = made.event_timestamp + pd.Timedelta(hours=2)
    return made
