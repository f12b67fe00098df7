"""Providers of the shared population, with the claims that came by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.underwriting.history.asof import Past
from examples.underwriting.history.claims import Claims
from examples.underwriting.history.snapshots import Moments
from examples.underwriting.history.world import MONTH, YEAR, World, choose, labelled
from generators.places import REGIONS

KINDS = (("body_shop", "auto"), ("builder", "property"), ("clinic", "health"), ("adviser", "life"))


def rows(world: World, claims: Claims, moments: Moments) -> dict[str, Any]:
    """provider_network: scores, and counts of claims filed and investigated by each moment.

    fraud_risk_score and billing_anomaly_score are shares (0 to 1). They follow investigations, not the truth.
    """
    which, at = moments.key, moments.at
    carers, chance = world.population.carers, world.chance("providers")
    size = carers.size
    past, done = Past(claims.provider, claims.filed), Past(claims.provider, claims.settled)
    month, ever = past.span(which, at, at - MONTH), past.span(which, at)
    found = done.span(which, at).sum((claims.confirmed | claims.siu).astype(np.int64))
    rate = (found + 0.5) / (ever.count + 8)
    reputation = carers.reputation
    region = np.arange(size) - carers.first[carers.line * REGIONS]
    quality = np.clip(1 + 4 * reputation + chance.normal(0, 0.3, size), 1, 5)
    years = chance.integers(1, 25, size)
    suspended = (rate > 0.3) & (found >= 3)
    state = choose(chance, "CA TX FL NY IL OH GA NC", [1] * REGIONS, size)
    return {
        "provider_id": labelled("PROV%06d", which),
        "event_timestamp": at,
        "provider_name": [
            f"{KINDS[carers.line[n]][0].replace('_', ' ').title()} {n:04d}" for n in which.tolist()
        ],
        "provider_type": np.array([kind for kind, _ in KINDS], object)[carers.line[which]],
        "specialty": np.array([line for _, line in KINDS], object)[carers.line[which]],
        "network_status": np.where(suspended, "suspended", np.where(years[which] > 2, "in_network", "new")),
        "quality_score": quality[which],
        "patient_satisfaction_score": np.clip(quality + chance.normal(0, 0.4, size), 1, 5)[which],
        "cost_efficiency_score": np.clip(100 * reputation + chance.normal(0, 8, size), 0, 100)[which],
        "outcome_score": np.clip(100 * reputation + chance.normal(0, 6, size), 0, 100)[which],
        "claims_volume_monthly": month.count,
        "unique_patients_monthly": [len(set(p)) for p in month.values(claims.customer)],
        "avg_claim_amount": np.round(ever.mean(claims.cents) / 100, 2),
        "fraud_risk_score": np.clip(2 * rate + chance.normal(0, 0.04, size)[which], 0, 1),
        "billing_anomaly_score": np.clip(1.5 * rate + chance.normal(0, 0.06, size)[which], 0, 1),
        "siu_investigation_count": found,
        "suspended_flag": suspended,
        "referral_count_to": chance.poisson(6, size)[which],
        "referral_count_from": chance.poisson(6, size)[which],
        "network_centrality_score": chance.beta(2, 8, size)[which],
        "state": state[which],
        "region": [f"region-{r % REGIONS + 1}" for r in region[which].tolist()],
        "urban_rural": choose(chance, "urban suburban rural", [5, 3, 2], size)[which],
        "accredited_flag": (reputation > 0.6)[which],
        "years_in_network": np.maximum(0, years[which] - (world.as_of - at) // YEAR),
    }
