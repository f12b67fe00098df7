"""Profile, credit and risk of customers, and their claims added up, as of any moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.underwriting.formulas.columns import tier
from examples.underwriting.history.claims import TYPES, Claims
from examples.underwriting.history.policies import Policies
from examples.underwriting.history.snapshots import Moments
from examples.underwriting.history.world import DAY, MONTH, YEAR, World, choose, labelled
from generators.draws import Ints
from generators.people import BORN_BEFORE, POLICIES

_BORN = BORN_BEFORE.astype("M8[ms]").astype(np.int64)


def _keys(moments: Moments) -> dict[str, Any]:
    return {"customer_id": labelled("CUST%08d", moments.key), "event_timestamp": moments.at}


def _age(world: World, who: Ints, at: Ints) -> Ints:
    return (world.population.people.age[who] + (at - _BORN) / (365.25 * DAY)).astype(np.int64)


def profiles(world: World, policies: Policies, moments: Moments) -> dict[str, Any]:
    """customer_profiles."""
    who, at, size = moments.key, moments.at, world.customers
    people, chance = world.population.people, world.chance("profiles")
    city = world.population.places.names
    everyone = np.arange(size)
    states = np.array([city[c].rpartition(", ")[2] for c in people.city.tolist()], object)
    inhabitants = world.population.places.inhabitants[people.city]
    tenure = (at - world.joined[who]) // MONTH
    running = np.zeros(len(who), np.int64)
    for place in range(POLICIES):
        number = who * POLICIES + place
        running += (place < policies.held[who]) & (policies.started(number) <= at)
    return {
        **_keys(moments),
        "age": _age(world, who, at),
        "gender": np.asarray(people.account.values("gender", everyone), object)[who],
        "marital_status": choose(chance, "single married divorced widowed", [4, 5, 2, 1], size)[who],
        "occupation": choose(
            chance, "professional service trade office retired student", [4, 4, 3, 4, 3, 2], size
        )[who],
        "education_level": choose(chance, "high_school bachelor master doctorate", [5, 4, 2, 0.5], size)[who],
        "state": states[who],
        "zip_code": np.asarray(people.account.values("zip_code", everyone), object)[who],
        "urban_rural": tier(inhabitants, (20_000, "rural"), (100_000, "suburban"), (0, "urban"))[who],
        "region_risk_zone": world.zone[who],
        "customer_tenure_months": tenure,
        "num_policies": running,
        "loyalty_tier": tier(tenure, (12, "bronze"), (36, "silver"), (72, "gold"), (0, "platinum")),
        "has_agent": (chance.random(size) < 0.4)[who],
    }


def credit_score(world: World, who: Ints, at: Ints) -> Ints:
    """Credit of a customer at a time: the population's score now, wandering over the year before."""
    chance = world.chance("credit path")
    swing, phase, drift = (
        draw[who] for draw in (*chance.random((2, world.customers)), chance.normal(size=world.customers))
    )
    back = (world.as_of - at) / YEAR
    path = 22 * swing * (np.sin(2 * np.pi * (phase - back)) - np.sin(2 * np.pi * phase)) - 12 * drift * back
    return np.clip(world.population.people.credit[who] + path, 300, 850).astype(np.int64)


def credits(world: World, moments: Moments) -> dict[str, Any]:
    """customer_credit_data."""
    who, at, size = moments.key, moments.at, world.customers
    chance = world.chance("credit")
    score = credit_score(world, who, at)
    now = world.population.people.credit
    late = chance.poisson(np.clip(0.6 + 0.5 * world.risk, 0.05, 6))
    income = np.maximum(9_000, now * 100 + chance.normal(20_000, 15_000, size))
    return {
        **_keys(moments),
        "credit_score": score,
        "credit_score_tier": tier(-score, (-800, "A"), (-740, "B"), (-670, "C"), (-580, "D"), (0, "F")),
        "credit_score_change_3m": score - credit_score(world, who, at - 3 * MONTH),
        "credit_history_length_months": 12 * np.maximum(_age(world, who, at) - 20, 0) + 6,
        "num_credit_accounts": chance.integers(1, 12, size)[who],
        "num_delinquencies": late[who],
        "bankruptcy_flag": (chance.random(size) < np.where(now < 600, 0.12, 0.01))[who],
        "annual_income": np.round(income, 2)[who],
        "debt_to_income_ratio": np.clip(chance.normal(0.36, 0.12, size) - (now - 690) / 2_000, 0, 1.5)[who],
        "payment_history_score": np.clip(60 + (score - 600) / 5 - 6 * late[who], 0, 100),
        "insurance_score": np.clip(score + chance.normal(0, 30, size)[who], 300, 900).astype(np.int64),
        "prior_coverage_lapse": (chance.random(size) < np.clip(0.06 + 0.05 * world.risk, 0.01, 0.5))[who],
    }


def risks(world: World, claims: Claims, moments: Moments) -> dict[str, Any]:
    """customer_risk_metrics; claims are those filed by then."""
    who, at, size = moments.key, moments.at, world.customers
    chance = world.chance("risk metrics")
    one, three = (claims.by_filing.days(who, at, 365 * years) for years in (1, 3))
    found = claims.by_settlement.span(who, at).sum(claims.confirmed.astype(np.int64))
    driving = chance.poisson(np.clip(0.4 * np.exp(0.5 * world.risk), 0, 4))
    noise = chance.normal(0, 15, size)[who]
    score = credit_score(world, who, at)
    overall = np.clip(100 - (score - 300) / 5.5 + noise + 4 * one.count, 0, 100)
    return {
        **_keys(moments),
        "overall_risk_score": overall,
        "claims_risk_score": np.clip(10 + 22 * one.count + 9 * three.count, 0, 100),
        "fraud_risk_score": np.clip(5 + 35 * found + np.abs(noise) / 3, 0, 100),
        "churn_risk_score": np.clip(50 - (at - world.joined[who]) / MONTH / 4 + noise, 0, 100),
        "num_claims_1y": one.count,
        "num_claims_3y": three.count,
        "total_claims_amount_1y": one.sum(claims.cents) / 100,
        "avg_claim_amount": np.round(claims.by_filing.span(who, at).mean(claims.cents) / 100, 2),
        "policy_changes_1y": chance.poisson(0.5, size)[who],
        "late_payments_1y": chance.poisson(np.clip(0.7 * np.exp(0.5 * world.risk), 0, 8))[who],
        "inquiry_count_30d": chance.poisson(0.4, size)[who],
        "driving_violations_3y": driving[who],
        "at_fault_accidents_3y": chance.binomial(driving, 0.4)[who],
        "dui_flag": (chance.random(size) < np.clip(0.012 * np.exp(0.6 * world.risk), 0, 0.2))[who],
        "risk_segment": tier(overall, (40, "low"), (70, "medium"), (100, "high")),
        "underwriting_tier": tier(
            overall, (30, "preferred"), (50, "standard"), (70, "substandard"), (100, "decline")
        ),
    }


def claim_totals(world: World, claims: Claims, moments: Moments) -> dict[str, Any]:
    """claims_aggregations: counts and amounts of claims filed by then, outcomes of those settled by then."""
    who, at = moments.key, moments.at
    filed, done = claims.by_filing.span(who, at), claims.by_settlement.span(who, at)
    years = {n: claims.by_filing.days(who, at, 365 * n) for n in (1, 3, 5)}
    total = filed.count
    gaps = (filed.last - filed.first) / DAY / np.maximum(total - 1, 1)
    kinds = {name: filed.sum((claims.kind == n).astype(np.int64)) for n, name in enumerate(TYPES)}
    share = lambda values: filed.mean(values.astype(np.int64))  # noqa: E731
    return {
        **_keys(moments),
        "total_claims_lifetime": total,
        **{f"claims_count_{n}y": window.count for n, window in years.items()},
        "total_claims_amount_lifetime": filed.sum(claims.cents) / 100,
        "total_claims_amount_1y": years[1].sum(claims.cents) / 100,
        "total_claims_amount_3y": years[3].sum(claims.cents) / 100,
        "avg_claim_amount": np.round(filed.mean(claims.cents) / 100, 2),
        "max_claim_amount": filed.highest(claims.cents / 100),
        "avg_days_between_claims": np.where(total > 1, gaps, np.nan),
        "days_since_last_claim": (at - filed.last) // DAY,
        "claim_frequency_score": np.minimum(total / 3, 1),
        "pct_claims_approved": done.mean((claims.ratio > 0).astype(np.int64)),
        "pct_claims_denied": done.mean((claims.ratio == 0).astype(np.int64)),
        "avg_approval_ratio": done.mean(claims.ratio),
        "fraud_claims_count": done.sum(claims.confirmed.astype(np.int64)),
        "siu_referral_count": filed.sum(claims.siu.astype(np.int64)),
        "suspicious_claim_ratio": share(claims.suspicious >= 2),
        **{f"{name}_claims_count": count for name, count in kinds.items()},
        "avg_settlement_days": done.mean((claims.settled - claims.filed) / DAY),
        "litigation_rate": share(claims.litigation),
    }
