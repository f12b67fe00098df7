"""Claims of five years: who files them, what is true of each, and what the insurer knew of it when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from examples.underwriting.history.asof import Past
from examples.underwriting.history.policies import Policies
from examples.underwriting.history.world import CLAIM_YEARS, CLAIMS_A_YEAR, DAY, HOUR, YEAR, World, labelled
from generators.draws import Bools, Floats, Ints

TYPES = ("auto", "property", "liability", "medical")
SUBTYPES = {
    "auto": ("collision", "theft", "glass"),
    "property": ("water", "fire", "burglary"),
    "liability": ("injury_to_others", "damage_to_others"),
    "medical": ("emergency", "surgery", "therapy"),
}
PER_POLICY = np.array([[0.8, 0, 0.2, 0], [0, 0.8, 0.2, 0], [0, 0, 0, 1.0], [0, 0, 0, 1.0]])
"""Chance of each type under each line of policy."""


@dataclass(frozen=True)
class Claims:
    """One entry a claim, sorted by `filed`; amounts in cents, times in ms. `fraud` is the truth, in no table.

    `contacted` and `settled` may lie after the world's end. `confirmed` is fraud that an investigation finds, `ratio`
    the part that is approved at the end.
    """

    world: World
    customer: Ints
    policy: Ints
    provider: Ints
    kind: Ints
    filed: Ints
    contacted: Ints
    settled: Ints
    cents: Ints
    ratio: Floats
    fraud: Bools
    confirmed: Bools
    suspicious: Ints
    siu: Bools
    litigation: Bools
    attorney: Bools
    injury: Bools
    parties: Ints
    papers: Floats
    witnesses: Bools
    police: Bools
    waited: Ints

    @property
    def size(self) -> int:
        return len(self.filed)

    @cached_property
    def ids(self) -> list[str]:
        return labelled("CLM%010d", np.arange(self.size))

    @cached_property
    def by_filing(self) -> Past:
        return Past(self.customer, self.filed)

    @cached_property
    def by_settlement(self) -> Past:
        return Past(self.customer, self.settled)

    def rows(self) -> dict[str, Any]:
        """claims_history: each claim when it was filed, contacted and settled, and as it stands now."""
        now = np.full(self.size, self.world.as_of)
        which = np.tile(np.arange(self.size), 4)
        at = np.concatenate([self.filed, self.contacted, self.settled, now])
        keep = at <= self.world.as_of
        which, at = which[keep], at[keep]
        chance = self.world.chance("claims_history")
        contacted, settled = self.contacted[which] <= at, self.settled[which] <= at
        amount, approved = self.cents[which] / 100, (self.cents * self.ratio // 1)[which] / 100
        noise = chance.normal(size=self.size)
        seen = self.suspicious + 0.4 * noise
        kinds = np.array(TYPES, object)[self.kind]
        status = np.where(self.ratio > 0, "approved", "denied").astype(object)
        return {
            "claim_id": np.array(self.ids, object)[which],
            "event_timestamp": at,
            "customer_id": labelled("CUST%08d", self.customer[which]),
            "policy_id": np.array(Policies.ids(self.policy), object)[which],
            "provider_id": labelled("PROV%06d", self.provider[which]),
            "claim_type": kinds[which],
            "claim_subtype": np.array(
                [SUBTYPES[k][i % len(SUBTYPES[k])] for i, k in enumerate(kinds)], object
            )[which],
            "claim_status": np.where(
                settled, status[which], np.where(contacted, "under_review", "submitted")
            ),
            "claim_amount_requested": amount,
            "claim_amount_approved": np.where(settled, approved, np.nan),
            "claim_amount_paid": np.where(settled, approved, np.nan),
            "days_to_first_contact": np.where(contacted, (self.contacted - self.filed)[which] // DAY, np.nan),
            "days_to_settlement": np.where(settled, (self.settled - self.filed)[which] // DAY, np.nan),
            "claim_age_days": (at - self.filed[which]) // DAY,
            "injury_flag": self.injury[which],
            "fatality_flag": (self.injury & (noise > 2.3))[which],
            "litigation_flag": self.litigation[which] & contacted,
            "attorney_represented": self.attorney[which],
            "num_parties_involved": self.parties[which],
            "siu_referral": self.siu[which] & contacted,
            "fraud_score": np.clip(12 + 14 * seen, 0, 100)[which],
            "suspicious_indicators_count": self.suspicious[which],
            "adjuster_id": labelled("ADJ%04d", (np.arange(self.size) * 7919 % 400)[which]),
            "adjuster_workload": chance.integers(5, 60, len(which)),
            "priority_score": np.clip(20 + 8 * np.log1p(amount / 100) + 15 * self.injury[which], 0, 100),
        }

    def messages(self) -> list[dict[str, Any]]:
        """Every claim as the topic insurance.claims.events has it when it is filed; event_timestamp in ms."""
        columns = zip(
            self.ids,
            labelled("CUST%08d", self.customer),
            (self.cents / 100).tolist(),
            np.array(TYPES, object)[self.kind],
            self.filed.tolist(),
            strict=True,
        )
        names = ("claim_id", "customer_id", "claim_amount", "claim_type", "event_timestamp")
        return [{**dict(zip(names, row, strict=True)), "status": "submitted"} for row in columns]


def make(world: World, policies: Policies) -> Claims:
    """The claims of a world."""
    chance, people = world.chance("claims"), world.population.people
    years = np.minimum(CLAIM_YEARS, people.account_days / 365)
    appetite = np.exp(0.8 * world.risk)
    expected = CLAIMS_A_YEAR * appetite / appetite.mean()
    customer = np.repeat(np.arange(world.customers), chance.poisson(expected * years))
    age = chance.random(len(customer)) * years[customer] * YEAR
    filed = (world.as_of - age).astype(np.int64)
    order = np.lexsort((customer, filed))
    customer, filed = customer[order], filed[order]
    size = len(filed)
    policy = policies.covering(customer, filed, chance.integers(0, 8, size))
    line = people.policy_type(policy)
    kind = (chance.random(size)[:, None] > np.cumsum(PER_POLICY[line], axis=1)).sum(axis=1)
    carers = world.population.carers
    region = world.population.places.region[people.city[customer]]
    provider = carers.pick(line, region, chance.random(size))
    crooked = np.isin(provider, carers.crooked)
    fraud = chance.random(size) < 0.03 + 0.25 * crooked + 0.3 * world.dishonest[customer]
    inflated = 1 + fraud * chance.exponential(0.7, size)
    cents = np.rint(np.clip(chance.lognormal(8, 1.2, size) * inflated, 100, 5e5) * 100).astype(np.int64)
    confirmed = fraud & (chance.random(size) < 0.6)
    refused = confirmed | (chance.random(size) < 0.12)
    length = chance.lognormal(3.2 + 0.4 * fraud, 0.5, size)
    return Claims(
        world=world,
        customer=customer,
        policy=policy,
        provider=provider,
        kind=np.minimum(kind, len(TYPES) - 1),
        filed=filed,
        contacted=filed + (chance.uniform(4, 120, size) * HOUR).astype(np.int64),
        settled=filed + ((6 + length) * DAY).astype(np.int64),
        cents=cents,
        ratio=np.where(refused, 0, chance.beta(8, 2, size)),
        fraud=fraud,
        confirmed=confirmed,
        suspicious=chance.poisson(0.4 + 1.6 * fraud),
        siu=chance.random(size) < 0.03 + 0.45 * fraud,
        litigation=chance.random(size) < 0.05 + 0.08 * fraud,
        attorney=chance.random(size) < 0.15 + 0.25 * fraud,
        injury=(kind == 3) | (chance.random(size) < 0.15),
        parties=1 + chance.poisson(0.6 + 0.5 * fraud),
        papers=np.clip(chance.normal(75, 14, size) - 14 * fraud, 0, 100),
        witnesses=chance.random(size) < 0.38 - 0.18 * fraud,
        police=chance.random(size) < 0.5 - 0.2 * fraud,
        waited=chance.exponential(4 + 6 * fraud, size).astype(np.int64),
    )
