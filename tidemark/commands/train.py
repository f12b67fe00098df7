"""tidemark train: a model from history, measured against the rules on the newest days."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer
from rich.console import Console

from streaming.errors import TidemarkError
from tidemark import training_options as options


def command(
    name: str = options.NAME,
    repo: Path = options.REPO,
    history: str = options.HISTORY,
    models: str = options.MODELS,
    since: str = options.SINCE,
    until: str = options.UNTIL,
    held_out: float = options.HELD_OUT,
    tune: float = options.TUNE,
    rows: int | None = options.ROWS,
    promote: bool = typer.Option(False, "--promote", help="Use it from now on, if it is ahead of the rules"),
    as_json: bool = options.JSON,
) -> None:
    """Train a model on history and keep it, measured on days that it did not see.

    The rows are events with the features that were served at them; a service's tags say which (docs/models.md).
    """
    settings = options.settings_of(models, rows)
    with options.trainer(name, repo, history, settings, held_out, tune) as trainer:
        candidate = trainer.train(options.moment(since), options.moment(until))
    from tidemark import model_report
    from training.models.shelf import Shelf

    shelf, now = Shelf(settings.models, name), datetime.now(UTC)
    card = candidate.save(shelf, now)
    won = card.ahead.median > 0 and card.ahead.certainty >= settings.model_certainty
    if promote and won:
        shelf.promote(card.version, now, "ahead of the rules when it was trained")
    if as_json:
        typer.echo(msgspec.json.encode(card).decode())
    else:
        console = Console(soft_wrap=True, highlight=False)
        held = f"held out, {card.period.held_out:%Y-%m-%d %H:%M} to {card.period.until:%Y-%m-%d %H:%M}"
        model_report.compare(console, held, {"model": card.model, card.rules: card.rule})
        console.print(f"ahead of the rules by {model_report.lead(card.ahead)}\n")
        model_report.calibration(console, card)
        console.print(
            f"\nversion {card.version}, {len(card.features)} features, {card.trees} trees: {shelf.folder / card.version}"
        )
        if promote and won:
            console.print(f"in use from now on (back: `tidemark models rollback {name}`)")
        elif not promote:
            console.print(f"to use it: `tidemark models promote {name} {card.version}`")
    if promote and not won:
        raise TidemarkError(
            f"version {card.version} is kept and not promoted: it is not surely ahead of {card.rules} (in "
            f"{card.ahead.certainty:.0%} of the resamples); train on more history"
        )
