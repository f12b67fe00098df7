"""What is made of a composite: tiers, decisions and alerts."""

from __future__ import annotations

import numpy as np

from feature_repo.scores.inputs import Bools, Floats, Texts, above, select

ALERT_SCORE, CRITICAL_SCORE = 0.8, 0.9


def risk_category(composite: Floats) -> Texts:
    """high from 0.7, medium from 0.3, else low."""
    return _tiers(select("low", (composite >= 0.7, "high"), (composite >= 0.3, "medium")))


def requires_manual_review(composite: Floats, amount: Floats, claims_24hr: Floats) -> Bools:
    """Whether a person looks at a claim."""
    return (composite > 0.8) | (amount > 50_000) | (claims_24hr > 2)


def fraud_probability(composite: Floats) -> Floats:
    """Rough probability by four steps of the composite."""
    return above(composite, 0.1, (0.8, 0.95), (0.6, 0.75), (0.4, 0.45))


def should_block_transaction(composite: Floats) -> Bools:
    return composite > 0.85


def requires_additional_auth(composite: Floats) -> Bools:
    return (composite > 0.6) & (composite <= 0.85)


def alert_level(composite: Floats) -> Texts:
    """critical above 0.8, high above 0.6, medium above 0.3, else low."""
    return _tiers(
        select("low", (composite > 0.8, "critical"), (composite > 0.6, "high"), (composite > 0.3, "medium"))
    )


def requires_immediate_attention(composite: Floats, criticality: Texts) -> Bools:
    return (composite > 0.8) | ((criticality == "critical") & (composite > 0.5))


def predicted_failure_hours(composite: Floats) -> Floats:
    """A lookup by four steps of the composite; it predicts nothing beyond them."""
    return above(composite, 8760.0, (0.9, 2.0), (0.7, 24.0), (0.5, 168.0))


def alerts(composite: Floats, *decisions: Bools) -> Bools:
    """Which events are worth an alert: a high composite, or any of the `decisions` about it."""
    return np.logical_or.reduce([composite > ALERT_SCORE, *decisions])


def alert_severity(composite: Floats) -> Texts:
    """Level of an alert that is raised: critical above 0.9, else high."""
    return _tiers(select("high", (composite > CRITICAL_SCORE, "critical")))


def _tiers(names: np.ndarray) -> Texts:
    return names.astype(object)
