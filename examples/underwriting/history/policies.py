"""Policies of the population's customers, from one to three each."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from examples.underwriting.history.snapshots import Moments
from examples.underwriting.history.world import DAY, MONTH, YEAR, World, choose, labelled
from generators.draws import Ints
from generators.people import POLICIES

LINES = ("auto", "home", "health", "life")


class Policies:
    """A policy's number is its customer's times POLICIES plus its place, as in the shared population."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held = np.clip(world.population.people.policies - 1, 1, 3)
        """Policies of each customer."""

    @cached_property
    def numbers(self) -> Ints:
        """Every policy, by customer."""
        return np.concatenate([c * POLICIES + np.arange(n) for c, n in enumerate(self.held.tolist())])

    def started(self, numbers: Ints) -> Ints:
        """When (ms) a policy began: the first when the customer came, others later."""
        customer, place = numbers // POLICIES, numbers % POLICIES
        share = np.random.default_rng(self.world.seed + 17).random(self.world.customers * POLICIES)[numbers]
        joined = self.world.joined[customer]
        later = (self.world.as_of - joined) * share * 0.6
        return joined + np.where(place > 0, later, 0).astype(np.int64)

    def covering(self, customer: Ints, at: Ints, pick: Ints) -> Ints:
        """A policy of each customer that was running at that time."""
        wanted = customer * POLICIES + pick % self.held[customer]
        return np.where(self.started(wanted) <= at, wanted, customer * POLICIES)

    @staticmethod
    def ids(numbers: Ints) -> list[str]:
        """POL%08d%02d, as the shared population names them."""
        return [f"POL{n // POLICIES:08d}{n % POLICIES + 1:02d}" for n in numbers.tolist()]

    def rows(self, moments: Moments) -> dict[str, Any]:
        """policy_details at the moments, whose keys are policies' numbers."""
        number, at = moments.key, moments.at
        world, chance = self.world, self.world.chance("policies")
        size = world.customers * POLICIES
        line = world.population.people.policy_type(np.arange(size))
        driven = line == 0
        deductible = chance.choice([250.0, 500.0, 1_000.0, 2_500.0], size)
        coverage = np.array([80_000.0, 280_000.0, 200_000.0, 400_000.0])[line] * chance.choice(
            [0.5, 1, 1.5, 2], size
        )
        several = self.held[np.arange(size) // POLICIES] > 1
        safe, paperless = world.risk[np.arange(size) // POLICIES] < -0.3, chance.random(size) < 0.5
        discount = 8.0 * several + 10 * safe + 3 * paperless
        yearly = 800 * (0.8 + coverage / 500_000) * (1 - deductible / 10_000) * (1 - discount / 100)
        term = np.where(chance.random(size) < 0.3, 6, 12)
        built = 2012 + chance.integers(0, 14, size)
        worth = np.where(driven, 30_000 * 0.87 ** (2026 - built), np.nan)
        started = self.started(number)
        grown = 1.03 ** ((at - started) // YEAR)
        period = term[number] * MONTH
        premium = np.round(yearly[number] * grown, 2)
        extras = {
            name: driven & (chance.random(size) < share)
            for name, share in {
                "has_collision": 0.8,
                "has_comprehensive": 0.7,
                "has_uninsured_motorist": 0.5,
                "has_roadside": 0.4,
            }.items()
        }
        makes = choose(chance, "Toyota Ford Honda Volkswagen Tesla BMW", [5, 4, 4, 3, 2, 1], size)
        return {
            "policy_id": self.ids(number),
            "event_timestamp": at,
            "customer_id": labelled("CUST%08d", number // POLICIES),
            "policy_type": np.array(LINES, object)[line[number]],
            "product_code": [
                f"{LINES[kind].upper()}-{t:02d}" for kind, t in zip(line[number], term[number], strict=True)
            ],
            "coverage_amount": coverage[number],
            "deductible": deductible[number],
            "premium_monthly": np.round(premium / 12, 2),
            "premium_annual": premium,
            "policy_start_date": [str(day) for day in (started // DAY).astype("M8[D]")],
            "policy_term_months": term[number],
            "days_until_renewal": (period - (at - started) % period) // DAY,
            **{name: held[number] for name, held in extras.items()},
            "has_liability": (driven | (line == 1))[number],
            "multi_policy_discount": several[number],
            "safe_driver_discount": safe[number],
            "paperless_discount": paperless[number],
            "total_discount_pct": discount[number],
            "vehicle_year": np.where(driven, built, np.nan)[number],
            "vehicle_make": np.where(driven, makes, None)[number],
            "vehicle_value": np.round(worth, 2)[number],
        }
