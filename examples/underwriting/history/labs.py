"""Laboratory results of the customers who were tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.underwriting.formulas.columns import tier
from examples.underwriting.history.snapshots import Moments
from examples.underwriting.history.world import DAY, MONTH, World, choose, labelled
from generators.draws import Ints

TESTED, EVERY = 0.6, 6 * MONTH
"""Share of customers who have tests, and how often."""


def tested(world: World) -> Ints:
    """The customers with tests."""
    return np.flatnonzero(world.chance("tested").random(world.customers) < TESTED)


def rows(world: World, moments: Moments) -> dict[str, Any]:
    """lab_results: the newest test before each moment."""
    who, at, size = moments.key, moments.at, world.customers
    chance = world.chance("labs")
    day = (chance.random(size) * EVERY).astype(np.int64)[who]
    taken = at - (at - day) % EVERY
    health = np.clip(88 - world.population.people.age * 0.35 + chance.normal(0, 9, size), 0, 100)
    slope = chance.normal(0, 2.5, size)
    later = (taken - world.as_of) / EVERY
    overall = np.clip(health[who] + slope[who] * later, 0, 100)
    organs = {
        name: np.clip(overall + chance.normal(0, 7, size)[who], 0, 100)
        for name in ("cardiovascular", "metabolic", "liver_function", "kidney_function")
    }
    grades = {
        "bmi_category": ((50, "obese"), (65, "overweight"), (100, "normal")),
        "blood_pressure_category": ((50, "high"), (65, "elevated"), (100, "normal")),
        "cholesterol_category": ((50, "high"), (65, "borderline"), (100, "desirable")),
        "diabetes_risk_level": ((45, "high"), (65, "moderate"), (100, "low")),
        "glucose_category": ((45, "diabetic"), (60, "prediabetic"), (100, "normal")),
        "a1c_category": ((45, "diabetic"), (60, "prediabetic"), (100, "normal")),
        "ldl_category": ((50, "high"), (65, "borderline"), (100, "optimal")),
        "hdl_category": ((50, "low"), (100, "normal")),
        "triglycerides_category": ((50, "high"), (65, "borderline"), (100, "normal")),
    }
    graded = {
        name: tier(np.clip(overall + chance.normal(0, 6, size)[who], 0, 100), *steps)
        for name, steps in grades.items()
    }
    worse = np.sum([values == grades[name][0][1] for name, values in graded.items()], axis=0)
    trend = tier(slope[who], (-1.5, "declining"), (1.5, "stable"), (99, "improving"))
    return {
        "customer_id": labelled("CUST%08d", who),
        "event_timestamp": at,
        "latest_test_date": [str(d) for d in (taken // DAY).astype("M8[D]")],
        "test_provider": choose(chance, "CityLab MedTest HealthCheck", [3, 2, 1], size)[who],
        "overall_health_score": overall,
        **{f"{name}_score": values for name, values in organs.items()},
        **graded,
        "smoker_status": choose(chance, "never former current", [6, 2, 2], size)[who],
        "health_trend_6m": trend,
        "risk_trend_6m": np.where(
            trend == "declining", "rising", np.where(trend == "stable", "stable", "falling")
        ),
        "num_abnormal_results": worse,
        "regular_checkups_flag": (chance.random(size) < 0.6)[who],
        "medication_adherence_score": np.clip(chance.normal(78, 14, size), 0, 100)[who],
    }
