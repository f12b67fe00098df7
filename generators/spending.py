"""How ordinary people pay, and what the five payment schemes make of it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from generators.contracts import PaymentFraud, vocabulary
from generators.draws import Bools, Draws, Floats, Ints, below, gauss, part
from generators.episodes import Roles
from generators.moments import DAY
from generators.people import HANDSETS, STRANGE_HANDSETS
from generators.places import COUNTRIES, REGIONS, RISKY_COUNTRIES
from generators.population import Population
from generators.trade import FREQUENCY, MEAN_AMOUNT

SCHEMES = vocabulary(PaymentFraud)
TESTING, TAKEOVER, SYNTHETIC, BUST_OUT, VELOCITY = range(1, len(SCHEMES) + 1)

_ONLINE = np.array([0.1, 0.02, 0.12, 0.35, 1.0, 0.9, 0.0, 0.8, 0.3, 1.0, 0.75, 0.4])
_INCOME = np.array([0.7, 1.0, 1.5, 2.0])
_UPTO = np.cumsum(FREQUENCY / FREQUENCY.sum())[:-1]
_TARGETS = np.array([4, 3, 8, 4, 7, 3, 5, 9, 2, 10, 0, 11])
"""Categories that stolen money goes to, likelier first."""


@dataclass(frozen=True)
class Payments:
    """Payments by row: merchant, dollars, whether online, country, handset (rows of their tables)."""

    merchant: Ints
    amount: Floats
    online: Bools
    country: Ints
    handset: Ints

    def of(self, rows: Ints) -> Payments:
        return Payments(*(getattr(self, f.name)[rows] for f in fields(self)))

    def put(self, rows: Ints, other: Payments) -> None:
        """Overwrites some rows."""
        for f in fields(self):
            getattr(self, f.name)[rows] = getattr(other, f.name)


def ordinary(population: Population, draws: Draws, index: Ints, at: Ints, users: Ints) -> Payments:
    """Payments as people make them: favourite categories, shops nearby, some travel, a new phone."""
    people = population.people
    where, how = draws.words("where", index), draws.words("how", index)
    favourite = users * 4 + (4 * part(where, 0)).astype(np.int64)
    habit = np.where(part(where, 1) < 0.6, draws.uniform("favourite", favourite), part(where, 2))
    category = np.searchsorted(_UPTO, habit, side="right")
    online = part(where, 3) < _ONLINE[category]
    home = population.places.region[people.city[users]]
    region = np.where(online | (part(how, 0) < 0.06), (REGIONS * part(how, 1)).astype(np.int64), home)
    merchant = population.traders.pick(category, region, draws.uniform("merchant", index))
    amount = MEAN_AMOUNT[category] * _INCOME[people.income[users]] * np.exp(0.7 * gauss(how, 2) - 0.25)
    trifle = part(draws.words("trifle", index), 0) < 0.07
    amount = np.where(trifle, 1 + 11 * part(how, 1), amount)
    second = draws.uniform("second handset", users) < 0.45
    handset = users * HANDSETS + (second & (part(how, 3) < 0.35))
    rare = draws.uniform("borrowed", index)
    borrowed = np.flatnonzero(rare < 0.03)
    handset[borrowed] = strange_handset(population, draws, index[borrowed])
    return Payments(
        merchant, amount, online, _country(people.country[users], draws, index, at, users), handset
    )


def strange_handset(population: Population, draws: Draws, key: Ints) -> Ints:
    """A handset that belongs to none of the users."""
    return population.users * HANDSETS + below(draws.words("strange handset", key), STRANGE_HANDSETS)


def _country(home: Ints, draws: Draws, index: Ints, at: Ints, users: Ints) -> Ints:
    """Home, or for some days on end the country of a journey, or now and then a foreign shop."""
    trip = draws.words("trip", users * 1_000_003 + at // (4 * DAY))
    away = np.where(part(trip, 0) < 0.02, below(trip, len(COUNTRIES)), home)
    shop = draws.words("foreign shop", index)
    return np.where(part(shop, 0) < 0.01, below(shop, len(COUNTRIES)), away)


def fraudulent(
    population: Population, draws: Draws, index: Ints, users: Ints, roles: Roles, usual: Payments
) -> Payments:
    """What the payments become as steps of episodes; where a thief has no reason to differ, as usual."""
    scheme, a, b = roles.scheme, draws.words("fraud a", index), draws.words("fraud b", index)
    theirs = draws.words("thief", roles.episode)
    progress = (roles.step + 1) / roles.steps
    traders = population.traders
    target = _TARGETS[(len(_TARGETS) * part(a, 0) ** 2).astype(np.int64)]
    bought = traders.pick(target, (REGIONS * part(a, 1)).astype(np.int64), part(a, 2))
    dubious = traders.dubious_rows[(len(traders.dubious_rows) * part(a, 3)).astype(np.int64)]
    choice = part(b, 0)
    merchant = np.select([choice < 0.2, choice < 0.6], [dubious, bought], usual.merchant)
    u = part(b, 1)
    limit = population.people.limit[users]
    cash_in = (progress == 1) & (part(b, 2) < 0.5)
    amount = np.select(
        [scheme == TESTING, scheme == TAKEOVER, scheme == SYNTHETIC, scheme == BUST_OUT],
        [
            np.where(cash_in, 40 * 12**u, 1 + 9 * u**1.5),
            60 * 30**u,
            (90 * 12**progress) * (0.5 + u),
            limit * (0.04 + 0.14 * u),
        ],
        30 * 14**u,
    )
    remote = (scheme == TESTING) | (scheme == TAKEOVER)
    online = np.where(remote, part(b, 3) < 0.85, usual.online)
    thief = strange_handset(population, draws, roles.episode)
    handset = np.where(remote & (part(theirs, 0) < 0.75), thief, usual.handset)
    abroad = RISKY_COUNTRIES + below(theirs, len(COUNTRIES) - RISKY_COUNTRIES)
    country = np.where(remote & (part(theirs, 1) < 0.35), abroad, usual.country)
    return Payments(merchant, amount, online, country, handset)
