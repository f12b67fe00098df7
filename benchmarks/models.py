"""A model beside the rules: weeks of simulated payments, trained, measured on the newest of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from benchmarks import replay
from generators.population import Population
from streaming.history.sessions import session
from streaming.history.store import StoreSettings
from tidemark.demo.place import Place
from tidemark.jars import spark_jars
from tidemark.services import Endpoints

START = datetime(2026, 1, 5, tzinfo=UTC)


def run(days: int, users: int, a_day: float, seed: int) -> dict[str, Any]:
    """`users` people with `a_day` payments each a day, over `days` days; the last week is held out."""
    from streaming import definitions
    from training.models.model import load
    from training.models.recipe import recipe
    from training.models.rows import Reader
    from training.models.settings import ModelSettings
    from training.models.shelf import Shelf
    from training.models.trainer import Trainer

    rate = users * a_day / 86_400
    with TemporaryDirectory(prefix="tidemark-bench-") as folder:
        root, place = Path(folder), Place(Path(folder))
        place.copy_repo(Endpoints("localhost:9092", "localhost:6379", folder))
        place.apply(Endpoints("localhost:9092", "localhost:6379", folder))
        settings = StoreSettings(history=str(root / "history"))
        with session("bench", settings, spark_jars) as spark:
            opened = definitions._open(place.repo)
            asked = recipe(opened, "transactions")
            reader = Reader.of(opened, asked, spark, settings, ModelSettings().model_rows)
            source = next(s for s in reader.plan.sources if s.name == asked.source)
            began = time.monotonic()
            replay.store(
                spark,
                settings.history,
                source,
                "transactions",
                start=START,
                events=int(days * 86_400 * rate),
                rate=rate,
                seed=seed,
                population=Population(users=users),
            )
            stored = time.monotonic()
            candidate = Trainer(reader, ModelSettings()).train()
            trained = time.monotonic()
            shelf = Shelf(root / "models", asked.name)
            card = candidate.save(shelf, datetime.now(UTC))
            model = load(shelf.folder / card.version, reader.plan)
            return {
                "events": int(days * 86_400 * rate),
                "store_s": stored - began,
                "train_s": trained - stored,
                "features": len(card.features),
                "trees": card.trees,
                "held_out": f"{card.period.held_out:%Y-%m-%d}..{card.period.until:%Y-%m-%d}",
                "model": msgspec.to_builtins(card.model),
                "rules": msgspec.to_builtins(card.rule),
                "ahead": msgspec.to_builtins(card.ahead),
                "importance": dict(list(card.importance.items())[:10]),
                "predict_us": _predicting(model, candidate.held.columns),
            }


def _predicting(model: Any, columns: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Microseconds of a call, by rows."""
    found = {}
    for rows in (1, 100, 500):
        some = {name: column[:rows] for name, column in columns.items()}
        taken = []
        for _ in range(500):
            began = time.perf_counter()
            model.probability(some)
            taken.append((time.perf_counter() - began) * 1e6)
        p50, p99 = np.percentile(taken[50:], (50, 99)).tolist()
        found[str(rows)] = {"p50": p50, "p99": p99}
    return found
