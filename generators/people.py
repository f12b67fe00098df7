"""The users of a population with what they hold: policies, cards, handsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from generators.columns import Source, Table
from generators.contracts import ClaimType, Income, vocabulary
from generators.draws import Draws, Floats, Ints, below, gauss, part
from generators.places import COUNTRIES, Places
from generators.tokens import card_number, national_id, tokens

POLICIES, CARDS, HANDSETS = 4, 2, 2
"""Rows kept for each user in the tables of policies, cards and handsets; not all are in use."""

STRANGE_HANDSETS = 1 << 17
"""Handsets that belong to nobody: borrowed ones, new ones and those of attackers."""

BORN_BEFORE = np.datetime64("2026-01-01")
"""Ages are as of this day."""


@dataclass(frozen=True)
class People:
    """Users by row. `tables` hold their fields by contract name; the arrays drive the simulators.

    `risk` is the insurer's prior score, `spend` dollars a month, `synthetic` marks identities that
    nobody was born with (used by the simulation alone, in no field).
    """

    size: int
    city: Ints
    country: Ints
    age: Ints
    credit: Ints
    claims: Ints
    income: Ints
    limit: Ints
    spend: Floats
    account_days: Ints
    risk: Floats
    policies: Ints
    synthetic: Ints
    holder: Table
    account: Table
    policy: Table
    policy_type: Callable[[Ints], Ints]
    policy_years: Callable[[Ints], Ints]
    card: Table
    handset: Table


def make_people(seed: int, size: int, places: Places) -> People:
    """`size` users; numbers are made at once, texts when they are first met."""
    draws = Draws(seed, "people")
    row = np.arange(size)
    a, b, c = (draws.words(lane, row) for lane in ("body", "money", "habits"))
    fake = part(draws.words("synthetic", row), 0) < 0.02
    city = below(draws.words("city", row), len(places.names))
    abroad = np.where(part(a, 3) < 0.08, 1 + (part(a, 2) * 7).astype(np.int64), 0)
    age = np.clip(44 + 15 * gauss(a, 0), 18, 85).astype(np.int64)
    credit = np.clip(690 + 80 * gauss(b, 0) - 30 * fake, 300, 850).astype(np.int64)
    income = np.searchsorted([0.25, 0.65, 0.92], np.clip(0.7 * part(b, 1) + 0.3 * (credit - 450) / 400, 0, 1))
    limit = np.array([1500, 4000, 9000, 20000])[income] * (0.6 + 1.2 * part(b, 2))
    spend = np.array([900.0, 1600.0, 2600.0, 4200.0])[income] * (0.6 + 0.8 * part(b, 3))
    oldest = np.where(fake, 700, 3650)
    account_days = (30 + (oldest - 30) * part(c, 0)).astype(np.int64)
    history = (20 + account_days * (0.1 + 1.2 * part(c, 1))).astype(np.int64)
    claims = np.minimum(15, -2.2 * np.log(part(c, 2))).astype(np.int64)
    risk = np.clip(0.45 + 0.17 * gauss(c, 3) + 0.012 * claims - (credit - 690) / 2000, 0.1, 0.9)
    days = (age * 365.25 + 365 * part(a, 1)).astype(np.int64)
    birth = (BORN_BEFORE - days.astype("timedelta64[D]")).astype("datetime64[D]")
    home = draws.words("home", row)
    lat = (places.lat[city] + 0.08 * gauss(home, 0)).round(4)
    long = (places.long[city] + 0.08 * gauss(home, 1)).round(4)
    zip_code = places.zip3[city] * 100 + (100 * part(home, 2)).astype(np.int64)
    ids = _numbered("CUST%08d")
    holder: dict[str, Source] = {
        "user_id": ids,
        "user_age": age,
        "user_credit_score": credit,
        "user_claim_history": claims,
        "location": lambda rows: [places.names[i] for i in city[rows].tolist()],
        "holder_token": _persons,
    }
    account: dict[str, Source] = {
        "user_id": ids,
        "user_age": age,
        "user_income_level": lambda rows: [vocabulary(Income)[i] for i in income[rows].tolist()],
        "user_location": lambda rows: [COUNTRIES[i] for i in abroad[rows].tolist()],
        "account_age_days": account_days,
        "credit_limit": (limit // 100 * 100).astype(np.float64),
        "transaction_history_count": history,
        "gender": lambda rows: ["FM"[i] for i in (home[rows] >> np.uint64(63)).tolist()],
        "date_of_birth": lambda rows: [str(day) for day in birth[rows]],
        "zip_code": lambda rows: [f"{code:05d}" for code in zip_code[rows].tolist()],
        "city_population": lambda rows: places.inhabitants[city[rows]],
        "home_lat": lat,
        "home_long": long,
    }
    policies = 2 + below(draws.words("policies", row), POLICIES - 1)

    def policy_type(rows: Ints) -> Ints:
        return np.searchsorted([0.4, 0.7, 0.9], draws.uniform("policy type", rows))

    def policy_years(rows: Ints) -> Ints:
        most = np.minimum(age[rows // POLICIES] - 17, 31)
        return (most * draws.uniform("policy years", rows) ** 1.5).astype(np.int64)

    policy: dict[str, Source] = {
        "policy_id": lambda rows: [f"POL{r // POLICIES:08d}{r % POLICIES + 1:02d}" for r in rows.tolist()],
        "policy_tenure_years": policy_years,
    }
    assert len(vocabulary(ClaimType)) == 4
    return People(
        size=size,
        city=city,
        country=abroad,
        age=age,
        credit=credit,
        claims=claims,
        income=income,
        limit=(limit // 100 * 100).astype(np.int64),
        spend=spend,
        account_days=account_days,
        risk=risk,
        policies=policies,
        synthetic=np.flatnonzero(fake) if fake.any() else row[:1],
        holder=Table(size, holder),
        account=Table(size, account),
        policy=Table(size * POLICIES, policy),
        policy_type=policy_type,
        policy_years=policy_years,
        card=Table(size * CARDS, {"card_id": _cards}),
        handset=Table(size * HANDSETS + STRANGE_HANDSETS, {"device_id": _numbered("PHONE%09d")}),
    )


def _cards(rows: Ints) -> list[str]:
    make = tokens()
    return ["CARD" + make("card", card_number(row)) for row in rows.tolist()]


def _persons(rows: Ints) -> list[str]:
    make = tokens()
    return [make("person", national_id(row)) for row in rows.tolist()]


def _numbered(pattern: str) -> Callable[[Ints], list[str]]:
    return lambda rows: [pattern % row for row in rows.tolist()]
