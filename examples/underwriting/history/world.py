"""Whose past it is: the shared population's users as customers, up to a moment, and who of them is risky."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from generators import Population
from generators.draws import Bools, Floats, Ints

HOUR, DAY = 3_600_000, 86_400_000
MONTH, YEAR = 30 * DAY, 365 * DAY
CLAIM_YEARS = 5
"""How far back claims go."""
CLAIMS_A_YEAR, PAYMENTS = 0.5, 50
"""Claims a customer files in a year, and payments in PAYMENT_DAYS, on average."""
PAYMENT_DAYS = 90


@dataclass(frozen=True)
class World:
    """`customers` of the population of `seed`, their tables covering `months` of 30 days up to `as_of` (ms, UTC)."""

    customers: int
    as_of: int
    seed: int = 0
    months: int = 18

    @cached_property
    def population(self) -> Population:
        return Population(seed=self.seed, users=self.customers, providers=max(1_000, self.customers // 10))

    def chance(self, what: str) -> np.random.Generator:
        """Random numbers for one purpose, the same for equal worlds."""
        return np.random.default_rng([self.seed, zlib.crc32(what.encode())])

    @property
    def grid(self) -> Ints:
        """The moments at which every table is written: each month, and now."""
        return self.as_of - MONTH * np.arange(self.months, -1, -1)

    @cached_property
    def joined(self) -> Ints:
        """When each customer came (ms)."""
        return self.as_of - self.population.people.account_days * DAY

    @cached_property
    def risk(self) -> Floats:
        """What makes a customer file claims, mean 0: poor credit, youth, and much that no table shows."""
        people = self.population.people
        hidden = self.chance("risk").normal(size=self.customers)
        shown = 0.7 * (690 - people.credit) / 80 + 0.5 * (people.age < 28) + 0.3 * (people.age > 75)
        mixed = shown + 0.6 * hidden
        return mixed - mixed.mean()

    @cached_property
    def dishonest(self) -> Bools:
        """Customers who would inflate a claim."""
        return self.chance("dishonest").random(self.customers) < 0.08

    @cached_property
    def zone(self) -> Ints:
        """Risk zone of each customer's home, 1 to 5."""
        places, city = self.population.places, self.population.people.city
        base = 1 + places.region[city] % 4
        return np.minimum(5, base + 2 * (city < 8)).astype(np.int64)


def labelled(pattern: str, numbers: Any) -> list[str]:
    """Identifiers of these numbers."""
    return [pattern % n for n in np.asarray(numbers).tolist()]


def choose(chance: np.random.Generator, words: str, weights: list[float], size: int) -> Any:
    """`size` of the words (with spaces between them) by weight."""
    return chance.choice(np.array(words.split(), object), size=size, p=np.array(weights) / sum(weights))
