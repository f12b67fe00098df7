"""Decisions of the past with what came of them: the rows that models learn from.

Every row has its moment, the keys of its features, what a caller would have said, and a label that was
only known later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from examples.underwriting.history.claims import TYPES, Claims
from examples.underwriting.history.payments import Payments
from examples.underwriting.history.policies import LINES, Policies
from examples.underwriting.history.snapshots import Moments
from examples.underwriting.history.world import DAY, MONTH, World, labelled
from generators.draws import Ints

HORIZON = 180 * DAY
"""An application's label covers so much time after it."""


@dataclass(frozen=True)
class Applications:
    """One application a customer, on average, all old enough for their label."""

    customer: Ints
    policy: Ints
    at: Ints

    def moments(self) -> Moments:
        return Moments(self.customer, self.at)

    def rows(self, world: World, claims: Claims) -> dict[str, Any]:
        """application_labels: the label says whether the customer filed a claim within 180 days, and its amount."""
        chance, size = world.chance("requests"), len(self.at)
        line = world.population.people.policy_type(self.policy)
        later = claims.by_filing.span(self.customer, self.at + HORIZON, self.at + 1)
        return {
            "application_id": labelled("APP%08d", np.arange(size)),
            "customer_id": labelled("CUST%08d", self.customer),
            "policy_id": Policies.ids(self.policy),
            "event_timestamp": self.at,
            "requested_coverage": np.array([1e5, 3e5, 2.5e5, 5e5])[line]
            * chance.choice([0.5, 1, 1.5, 2], size),
            "requested_deductible": chance.choice([250.0, 500.0, 1_000.0, 2_500.0], size),
            "policy_type": np.array(LINES, object)[line],
            "term_months": chance.choice([6, 12], size, p=[0.3, 0.7]).astype(np.int32),
            "additional_drivers": chance.poisson(0.5, size).astype(np.int32),
            "vehicle_age": chance.integers(0, 15, size).astype(np.int32),
            "claim_within_180d": (later.count > 0).astype(np.int64),
            "loss_within_180d": later.sum(claims.cents) / 100,
        }


def applications(world: World, policies: Policies) -> Applications:
    """From the first month of the tables to 180 days before their end."""
    chance = world.chance("applications")
    first, last = int(world.grid[0]) + MONTH, world.as_of - HORIZON
    customer = chance.integers(0, world.customers, world.customers)
    at = chance.integers(first, last, world.customers)
    kept = world.joined[customer] + 2 * MONTH < at
    order = np.flatnonzero(kept)[np.argsort(at[kept], kind="stable")]
    customer, at = customer[order], at[order]
    return Applications(customer, policies.covering(customer, at, chance.integers(0, 8, len(at))), at)


@dataclass(frozen=True)
class Assessments:
    """Claims a day after they were filed, settled by now: whether they were fraud is known."""

    claims: Claims
    which: Ints
    at: Ints

    def of(self, keys: Ints) -> Moments:
        """Their moments, by the customer's, the provider's or the policy's number."""
        return Moments(keys[self.which], self.at)

    def rows(self) -> dict[str, Any]:
        """claim_labels: the label is the truth of the claim."""
        held, which = self.claims, self.which
        return {
            "claim_id": np.array(held.ids, object)[which],
            "customer_id": labelled("CUST%08d", held.customer[which]),
            "policy_id": Policies.ids(held.policy[which]),
            "provider_id": labelled("PROV%06d", held.provider[which]),
            "event_timestamp": self.at,
            "claim_amount_requested": held.cents[which] / 100,
            "claim_type": np.array(TYPES, object)[held.kind[which]],
            "days_since_incident": held.waited[which].astype(np.int32),
            "documentation_score": held.papers[which].astype(np.float32),
            "has_witnesses": held.witnesses[which],
            "police_report_filed": held.police[which],
            "is_fraud": held.fraud[which].astype(np.int64),
        }


def assessments(world: World, claims: Claims) -> Assessments:
    """Of the months that the tables cover."""
    at = claims.filed + DAY
    which = np.flatnonzero((at > world.grid[0] + MONTH) & (claims.settled <= world.as_of))
    return Assessments(claims, which, at[which])


def payments(world: World, held: Payments) -> dict[str, Any]:
    """payment_labels: every fraud, and ten times as many honest payments."""
    chance = world.chance("payment labels")
    fraud = np.flatnonzero(held.fraud)
    honest = np.flatnonzero(~held.fraud)
    some = chance.choice(honest, min(len(honest), 10 * max(len(fraud), 20)), replace=False)
    rows = np.sort(np.concatenate([fraud, some]))
    trust = np.clip(0.45 + 0.4 * held.own_device + chance.normal(0, 0.12, held.size), 0, 1)
    return {
        "transaction_id": np.array(held.ids, object)[rows],
        "customer_id": labelled("CUST%08d", held.customer[rows]),
        "merchant_id": held.merchant[rows],
        "event_timestamp": held.at[rows],
        "transaction_amount": held.amount[rows],
        "merchant_category": held.category[rows],
        "transaction_channel": held.channel[rows],
        "device_trust_score": trust[rows].astype(np.float32),
        "session_duration_seconds": chance.integers(5, 900, held.size)[rows].astype(np.int32),
        "is_international": held.abroad[rows],
        "is_fraud": held.fraud[rows].astype(np.int64),
    }
