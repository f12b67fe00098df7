"""Options that `tidemark train` and `tidemark retrain` share, and the trainer they make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streaming.errors import TidemarkError

if TYPE_CHECKING:
    from training.models.settings import ModelSettings
    from training.models.trainer import Trainer

NAME = typer.Argument(help="The model: the tag `model` of a feature service")
REPO = typer.Option(Path("feature_repo"), "--repo", help="Folder of the Feast repo, after feast apply")
HISTORY = typer.Option("", "--history", help="Folder or URI of the history [default: var/history]")
MODELS = typer.Option("", "--models", help="Folder of the models [default: var/models]")
SINCE = typer.Option(
    "", "--from", help="Learn from this moment on, such as 2026-01-31 [default: 7 days into history]"
)
UNTIL = typer.Option("", "--to", help="Use events before this moment [default: all there are]")
HELD_OUT = typer.Option(7.0, "--held-out", help="Newest days, for measuring alone", min=0.01)
TUNE = typer.Option(5.0, "--tune", help="Days before them, to stop and calibrate on", min=0.01)
ROWS = typer.Option(
    None, "--rows", help="Most rows to learn from and to measure on [default: 400000]", min=1000
)
JSON = typer.Option(False, "--json", help="Print one JSON object")


def moment(text: str) -> datetime | None:
    """A day or moment, UTC unless it names a zone; None for no text. Raises TidemarkError."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise TidemarkError(f"{text!r} is no moment: write it like 2026-01-31 or 2026-01-31T12:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def settings_of(models: str, rows: int | None = None) -> ModelSettings:
    """Settings with what options replace."""
    from training.models.settings import ModelSettings

    given: dict[str, Any] = {
        **({"models": models} if models else {}),
        **({"model_rows": rows} if rows else {}),
    }
    return ModelSettings.model_validate(given)


@contextmanager
def trainer(
    name: str, repo: Path, history: str, settings: ModelSettings, held_out: float, tune: float
) -> Iterator[Trainer]:
    """A trainer with a Spark session of its own."""
    from streaming import definitions
    from streaming.history.sessions import session
    from streaming.history.store import StoreSettings
    from tidemark.jars import spark_jars
    from training.models.recipe import recipe
    from training.models.rows import Reader
    from training.models.trainer import Split, Trainer

    store = definitions._open(repo)
    asked = recipe(store, name)
    stored = StoreSettings.model_validate({"history": history} if history else {})
    with session("train", stored, spark_jars) as spark:
        reader = Reader.of(store, asked, spark, stored, settings.model_rows)
        split = Split(held_out=timedelta(days=held_out), tuned=timedelta(days=tune))
        yield Trainer(reader, settings, split)
