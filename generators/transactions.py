"""The stream of payments, as columns of its contract."""

from __future__ import annotations

import numpy as np

from generators import almanac, moments
from generators.columns import (
    Column,
    Events,
    Json,
    Moment,
    Number,
    Ref,
    Table,
    Uuid,
    boxed,
    decimal,
    refs,
    words,
)
from generators.contracts import Decline, Payment, vocabulary
from generators.draws import Bools, Draws, Floats, Ints, Words, below, gauss, part
from generators.episodes import Roles, assign
from generators.people import CARDS
from generators.places import COUNTRIES, RISKY_COUNTRIES
from generators.scenario import Scenario
from generators.spending import SCHEMES, SYNTHETIC, Payments, fraudulent, ordinary
from generators.trade import CATEGORIES

_EVENT = words("event_type", ("financial_transaction",))
_COUNTRY = words("location", COUNTRIES)
_METHOD = Table(6, {"payment_method": [*vocabulary(Payment)] * 2, "is_online": [False] * 3 + [True] * 3})
_REASON = words("decline_reason", (None, *vocabulary(Decline)))
_TRUTH = Table(
    len(SCHEMES) + 1, {"is_fraud": [False] + [True] * len(SCHEMES), "fraud_type": [None, *SCHEMES]}
)
_TRANSFER = CATEGORIES.index("transfer")
_RISK = np.array([0, 0, 0, 0, 0.05, 0.05, 0, 0.1, 0.1, 0.1, 0.1, 0.1])
_LETTERS = np.array([bytes((65 + i // 26, 65 + i % 26)) for i in range(676)])
_DIGITS = np.array([b"%02d" % i for i in range(100)])


class Transactions:
    """The stream `transactions` of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.population = scenario.population
        self.schedules = scenario.payment_schemes
        self.draws = Draws(scenario.seed, "transactions")

    def roles(self, first: int, end: int) -> Roles:
        """The part that each index of [first, end) plays."""
        return assign([s.events(first, end) for s in self.schedules], first, end)

    def entities(self, index: Ints, roles: Roles) -> Ints:
        """The user of each event."""
        users = self.population.user(self.draws.words("user", index))
        for number in range(1, len(SCHEMES) + 1):
            rows = np.flatnonzero(roles.scheme == number)
            users[rows] = self.victims(number, roles.episode[rows])
        return users

    def victims(self, scheme: int, episodes: Ints) -> Ints:
        """The user that each episode of a scheme is about."""
        random = self.schedules[scheme - 1].draws.words("victim", episodes)
        if scheme != SYNTHETIC:
            return self.population.victim(random)
        invented = self.population.people.synthetic
        return invented[below(random, len(invented))]

    def events(self, index: Ints, at: Ints, users: Ints, roles: Roles) -> Events:
        """The events at `index` (and time `at`, milliseconds) of `users` in their `roles`."""
        people, traders, draws = self.population.people, self.population.traders, self.draws
        paid = ordinary(self.population, draws, index, at, users)
        fraud = np.flatnonzero(roles.scheme)
        if len(fraud):
            args = index[fraud], users[fraud], roles.of(fraud), paid.of(fraud)
            paid.put(fraud, fraudulent(self.population, draws, *args))
        category = traders.category[paid.merchant]
        a, b = draws.words("network a", index), draws.words("network b", index)
        cents = np.maximum(np.rint(paid.amount * 100), 1).astype(np.int64)
        second = (draws.uniform("second card", users) < 0.45) & (part(a, 0) < 0.3)
        method = np.where(category == _TRANSFER, 2, (part(a, 1) < 0.45).astype(np.int64))
        declined = self._declined(users, paid.amount, a, b)
        columns: dict[str, Column] = {
            "transaction_id": Uuid(draws.words("id", index), draws.words("id low", index)),
            "timestamp": Moment(at),
            "event_type": Ref(_EVENT, "event_type", np.zeros(len(index), np.int64)),
            "card_id": Ref(people.card, "card_id", users * CARDS + second),
            "device_id": Ref(people.handset, "device_id", paid.handset),
            "amount": Number(cents, 2),
            "location": Ref(_COUNTRY, "location", paid.country),
            "decline_reason": Ref(_REASON, "decline_reason", declined),
            "authorization_code": _authorization(draws.words("authorization", index), declined > 0),
            "processing_time_ms": Number((30 + 110 * np.exp(0.5 * gauss(b, 1))).astype(np.int64)),
            "risk_score": decimal(self._score(users, at, paid, category, b), 3),
        }
        columns |= refs(people.account, users) | refs(traders.table, paid.merchant)
        columns |= refs(_METHOD, method + 3 * paid.online)
        columns |= refs(almanac.PAYMENT, almanac.payment_rows(at)) | refs(
            _TRUTH, roles.scheme.astype(np.int64)
        )
        return Events("transactions", index, at, columns)

    def _declined(self, users: Ints, amount: Floats, a: Words, b: Words) -> Ints:
        """Reasons of refusal (0 for none): mostly the limit, now and then funds, the issuer or a pin."""
        ratio = amount / self.population.people.limit[users]
        over = part(a, 2) < np.where(ratio > 1, 0.6, 0.0)
        refused = part(a, 3) < 0.012 + 0.05 * (ratio > 0.3)
        return np.where(
            over, 2, np.where(refused, np.array([1, 1, 3, 4])[(4 * part(b, 0)).astype(np.int64)], 0)
        )

    def _score(self, users: Ints, at: Ints, paid: Payments, category: Ints, b: Words) -> Floats:
        """The switch's rule score: amount, place, merchant, hour and account, and a little noise."""
        people = self.population.people
        hours = moments.hour(at)
        score = 0.04 + 0.1 * (paid.amount > 0.1 * people.spend[users])
        score += 0.1 * (paid.amount > 0.8 * people.limit[users])
        score += (
            0.15 * (paid.country >= RISKY_COUNTRIES) + 0.2 * self.population.traders.dubious[paid.merchant]
        )
        score += 0.05 * ((hours < 6) | (hours > 22)) + 0.05 * paid.online + _RISK[category]
        score += 0.1 * (people.account_days[users] < 90) + 0.03 * gauss(b, 2)
        return np.clip(score, 0, 1)


def _authorization(random: Words, declined: Bools) -> Json:
    """Two letters, two letters, two digits; null when declined."""
    letters = [_LETTERS[(676 * part(random, i)).astype(np.int64)] for i in (0, 1)]
    digits = _DIGITS[(100 * part(random, 2)).astype(np.int64)]
    text = np.full((len(random), 8), ord('"'), np.uint8)
    for i, two in enumerate((*letters, digits)):
        text[:, 1 + 2 * i : 3 + 2 * i] = two.view(np.uint8).reshape(-1, 2)
    codes = boxed(text.view("S8").ravel().tolist())
    codes[declined] = b"null"
    return Json(codes)
