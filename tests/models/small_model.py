"""A model of rows that were drawn here: y follows from x and z, `rules` from x alone."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from streaming.plan import Feature, Plan, Slot, Source, View, Window
from training.models.card import Card, Period
from training.models.fit import Boosting
from training.models.measures import ahead, measure
from training.models.model import version
from training.models.recipe import Recipe
from training.models.rows import Rows
from training.models.shelf import Shelf
from training.models.trainer import Candidate

NOW = datetime(2026, 5, 1, tzinfo=UTC)
RECIPE = Recipe("small", "serving", "events", "y", "rules")
PERIOD = Period(*[NOW - timedelta(days=days) for days in (30, 15, 8, 0)])
HOUR = Window(3_600_000, 60_000)


def plan(column: str = "amount") -> Plan:
    """One view."""
    view = View(
        "v",
        "v",
        "tests",
        "events",
        (("user_id", "STRING"),),
        (Feature("x", "sum", column, HOUR, "DOUBLE"),),
        (Slot("sum", column, "f64"),),
        (("user_id", "source_0.user_id"),),
        ((column, f"source_0.{column}"),),
        "source_0.at",
    )
    return Plan("tests", (Source("events", "events", "localhost:9092", "json", "{}", "at"),), (view,))


def rows(seed: int, size: int = 2_000, strength: float = 6.0) -> Rows:
    """Rows; the greater `strength`, the more x and z say of y."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, size))
    y = rng.random(size) < 1 / (1 + np.exp(-strength * (x + z - 2.2)))
    rules = np.where(x > 1, 0.8, 0.1)
    x[::17] = np.nan
    return Rows(
        {"x": x, "z": z, "rules": rules}, y, np.ones(size), np.arange(size), rng.integers(0, 200, size)
    )


@cache
def candidate(seed: int = 0, strength: float = 6.0) -> Candidate:
    """A fitted and measured model."""
    how = Boosting(rounds=30, patience=10)
    fitted = how.fit(rows(seed, strength=strength), rows(seed + 1), ("x", "z"))
    held = rows(seed + 2)
    score = fitted.probability(held)
    return Candidate(
        RECIPE,
        fitted,
        how,
        PERIOD,
        {"v": version(plan(), plan().views[0])},
        held,
        measure(held.label, score, held.weight, 0.05),
        measure(held.label, held.columns["rules"], held.weight, 0.05, probability=False),
        ahead(held.label, score, held.columns["rules"], held.weight, held.entity),
    )


def saved(root: Path, count: int = 1) -> tuple[Shelf, Card]:
    """A shelf with `count` versions, and the card of the last."""
    shutil.copytree(_stock(), root / "small")
    shelf = Shelf(root, "small")
    for more in shelf.versions()[count:]:
        shutil.rmtree(shelf.folder / more)
    return shelf, shelf.card(shelf.versions()[-1])


@cache
def _stock() -> Path:
    """Three versions, made once."""
    shelf = Shelf(mkdtemp(), "small")
    for seed in range(3):
        candidate(seed).save(shelf, NOW)
    return shelf.folder
