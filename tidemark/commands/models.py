"""tidemark models: the versions that were trained, and which of them is used."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import typer
from rich.console import Console

from tidemark import training_options as options

app = typer.Typer(no_args_is_help=True, help="List the trained models, promote one, go back.")


@app.command("list")
def listed(
    name: str = typer.Argument("", help="Only this model"),
    models: str = options.MODELS,
    as_json: bool = options.JSON,
) -> None:
    """All versions with their periods and measures; * is the one in use."""
    from tidemark import model_report
    from training.models.shelf import Shelf, names

    root = options.settings_of(models).models
    shelves = [Shelf(root, found) for found in ([name] if name else names(root))]
    if as_json:
        held = [
            {"model": s.name, "promoted": s.promoted, "versions": [s.card(v) for v in s.versions()]}
            for s in shelves
        ]
        typer.echo(msgspec.json.encode(held).decode())
        return
    console = Console(soft_wrap=True, highlight=False)
    for shelf in shelves:
        console.print(
            model_report.listed(shelf.name, [shelf.card(v) for v in shelf.versions()], shelf.promoted)
        )
        for step in shelf.promotions().steps[-3:]:
            console.print(f"[dim]{step.at:%Y-%m-%d %H:%M} version {step.version}: {step.why}[/dim]")
    if not any(shelf.versions() for shelf in shelves):
        console.print(f"no models in {root}: `tidemark train` makes one")


@app.command()
def promote(
    name: str = typer.Argument(help="The model"),
    version: str = typer.Argument(help="Its version"),
    models: str = options.MODELS,
) -> None:
    """Use a version from now on; a process that serves models reads them when it starts."""
    from training.models.shelf import Shelf

    shelf = Shelf(options.settings_of(models).models, name)
    shelf.promote(version, datetime.now(UTC))
    typer.echo(f"version {version} of model {name} is in use")


@app.command()
def rollback(name: str = typer.Argument(help="The model"), models: str = options.MODELS) -> None:
    """Use the version again that was in use before."""
    from training.models.shelf import Shelf

    shelf = Shelf(options.settings_of(models).models, name)
    version = shelf.rollback(datetime.now(UTC))
    typer.echo(f"version {version} of model {name} is in use")
