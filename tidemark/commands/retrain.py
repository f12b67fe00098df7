"""tidemark retrain: train anew, and use the result only if it is ahead on the newest days."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

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
    as_json: bool = options.JSON,
) -> None:
    """Train on all but the newest days, and promote what is ahead there of the rules and of the model in use.

    What is not ahead is kept and not used. Exits with 0 either way.
    """
    settings = options.settings_of(models, rows)
    from training.models.shelf import Shelf

    shelf = Shelf(settings.models, name)
    with options.trainer(name, repo, history, settings, held_out, tune) as trainer:
        from training.models.trainer import contest

        candidate = trainer.train(options.moment(since), options.moment(until))
        found = contest(candidate, shelf, trainer)
    now, before = datetime.now(UTC), shelf.promoted
    card = candidate.save(shelf, now)
    won = found.won(candidate, settings.model_certainty)
    if won:
        shelf.promote(card.version, now, f"ahead of the rules{f' and of {before}' if before else ''}")
    if as_json:
        result = {"card": card, "champion": before, "contest": found, "promoted": won}
        typer.echo(msgspec.json.encode(result).decode())
        return
    from tidemark import model_report

    console = Console(soft_wrap=True, highlight=False)
    scores = {f"version {card.version} (new)": card.model}
    if found.champion:
        scores[f"version {before} (in use)"] = found.champion
    held = f"held out, {card.period.held_out:%Y-%m-%d %H:%M} to {card.period.until:%Y-%m-%d %H:%M}"
    model_report.compare(console, held, {**scores, card.rules: card.rule})
    console.print(f"ahead of the rules by {model_report.lead(card.ahead)}")
    if found.ahead:
        console.print(f"ahead of version {before} by {model_report.lead(found.ahead)}")
    if found.remark:
        console.print(escape(found.remark))
    console.print(
        f"version {card.version} is in use from now on"
        if won
        else f"version {card.version} is kept and not used: it is not ahead in {settings.model_certainty:.0%} of the resamples"
    )
