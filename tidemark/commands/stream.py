"""tidemark stream: run the lanes, and start them over."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer
from rich.console import Console

from serving.scoring.job import command as scores
from streaming.errors import TidemarkError
from streaming.jobs.history import command as history
from streaming.jobs.online import command
from streaming.redis.target import masked
from tidemark.jars import spark_jars

app = typer.Typer(no_args_is_help=True, help="Run the lanes that compute features.")
app.command("online")(command(spark_jars))
app.command("history")(history(spark_jars))
app.command("scores")(scores(spark_jars))


@app.command()
def reset(
    repo: Path = typer.Option(..., "--repo", help="Folder of the Feast repo"),
    views: str = typer.Option("", "--views", help="Stream views, separated by commas [default: all]"),
    checkpoint: Path | None = typer.Option(
        None, "--checkpoint", help="Also delete this folder [default: REPO/data/online]"
    ),
    yes: bool = typer.Option(False, "--yes", help="Do not ask"),
) -> None:
    """Delete the rings of stream views and the lane's checkpoint, to start from the beginning."""
    from serving.deletion import delete_plan
    from streaming import definitions

    names = [name.strip() for name in views.split(",")] if views else None
    plan = definitions.load(repo, names)
    folder = checkpoint or repo / "data" / "online"
    shown = ", ".join(view.name for view in plan.views)
    if not yes and not typer.confirm(
        f"Delete all that is kept of {shown} in {masked(plan.redis)}, and {folder}?"
    ):
        raise TidemarkError("nothing was deleted: answer y, or give --yes")
    console = Console()
    for view, entities in delete_plan(repo, plan).items():
        console.print(f"{view}: {entities:,} entities")
    shutil.rmtree(folder, ignore_errors=True)
