"""tidemark plan: what a Feast repo asks the engine to compute, what it costs, and what changes."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from streaming.definitions import load, thresholds
from streaming.definitions.changes import span, window
from streaming.definitions.cost import hash_bytes, tile_bytes, worst_case_bytes, worst_case_tiles
from streaming.history.store import StoreSettings
from streaming.plan import Plan, View
from tidemark import deployed
from tidemark.deployed import Deployed

GROWING = (
    "Growing a topic moves entities to other partitions: stop its producers, let the lane catch up "
    "(tidemark stream online --until-caught-up), then grow it."
)


def command(
    repo: Path = typer.Option(
        Path("feature_repo"), "--repo", help="Folder of the Feast repo, after feast apply"
    ),
    views: str = typer.Option("", "--views", help="Only these views, separated by commas"),
    features: bool = typer.Option(False, "--features", help="List every feature"),
    udfs: bool = typer.Option(True, "--udfs/--no-udfs", help="Compile the views' udfs, which starts Spark"),
    checkpoint: str = typer.Option(
        "", "--checkpoint", help="The online lane's: also tell what it computed last, and which topics grew"
    ),
    history: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON"),
) -> None:
    """Show what a Feast repo asks to compute, its cost, what is refused, and what it changes in what runs.

    A change needs nothing, a backfill (null until a window was seen whole) or a rebuild.
    """
    plan = read(repo, [v.strip() for v in views.split(",") if v.strip()] or None, udfs)
    thresholds.load(repo, plan)
    runs = deployed.ask(plan, stored_at(history), checkpoint)
    if as_json:
        typer.echo(json.dumps({**describe(plan), "changes": asdict(runs)}))
        return
    console = Console()
    console.print(overview(plan))
    if features:
        console.print(listing(plan))
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    tell(console, runs)
    console.print(GROWING, style="dim", soft_wrap=True)


def stored_at(history: str) -> str:
    """The root of the history: what the option says, else the setting."""
    return StoreSettings.model_validate({"history": history} if history else {}).history


def tell(console: Console, runs: Deployed) -> None:
    """Print what changes, and which command fills what it leaves empty."""
    table = Table("view", "feature", "change", "needs", "whole", box=None, pad_edge=False)
    for view in runs.changes:
        for c in view.changes:
            table.add_row(view.view, c.feature, c.what, c.need, _moment(c.whole_at) if c.whole_at else "now")
    if table.rows:
        console.print(table)
    for text in remarks(runs):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def remarks(runs: Deployed) -> list[str]:
    """What changes, in sentences."""
    said = [f"{view.view}: {view.note}" for view in runs.changes if view.note]
    waiting = ",".join(view.view for view in runs.changes if view.need != "nothing")
    if waiting:
        said.append(
            f"What is not whole is null until then; this fills it now: tidemark rebuild --views {waiting}"
        )
    elif runs.changes and not said and not any(view.changes for view in runs.changes):
        said.append("Nothing changes in what runs.")
    said += runs.silent
    for stored in runs.stored:
        if stored.need == "backfill":
            said.append(
                f"{stored.view}: its feature table holds version {stored.held[0]} and {stored.asked} is asked for: "
                f"tidemark backfill --views {stored.view}"
            )
    for topic in runs.grown:
        said.append(
            f"Topic {topic.topic} grew from {topic.before} to {topic.now} partitions: events of one entity may be "
            "in two. Stop its producers and let the lane catch up (tidemark stream online --until-caught-up) before "
            "they send again."
        )
    return said


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def read(repo: Path, views: list[str] | None, udfs: bool) -> Plan:
    """The plan, with its udfs compiled if there are any. Raises DefinitionError."""
    plan = load(repo, views)
    if not udfs or all(view.timestamp for view in plan.views):
        return plan
    from streaming import session

    spark = session.build("tidemark plan", master="local[1]")
    spark.sparkContext.setLogLevel("ERROR")
    try:
        return load(repo, views, spark)
    finally:
        spark.stop()


def windows(view: View) -> str:
    """Length/slide of each window, shortest first; a tumbling window has its length alone."""
    return " ".join(map(window, view.windows))


def overview(plan: Plan) -> Table:
    """One row a view; tiles and bytes are those of an entity with events in every tile."""
    topics = {source.name: source.topic for source in plan.sources}
    table = Table(title=f"project {plan.project}", box=None, pad_edge=False, title_justify="left")
    table.add_column("view", overflow="fold", min_width=40)
    for name in ("features", "slots", "base", "tiles", "bytes"):
        table.add_column(name, justify="right")
    for view in plan.views:
        keys = ", ".join(name for name, _ in view.join_keys)
        table.add_row(
            f"{view.name}\n  by {keys}, {topics[view.source]}\n  {windows(view)}",
            str(len(view.features)),
            str(len(view.slots)),
            span(view.base),
            f"{worst_case_tiles(view):,}",
            f"{worst_case_bytes(view):,}",
        )
    return table


def listing(plan: Plan) -> Table:
    """One line a feature."""
    table = Table("view", "feature", "computed as", "window", "slide", "type", box=None, pad_edge=False)
    for view in plan.views:
        for f in view.features:
            call = f"{f.function}({f.column or '*'})"
            table.add_row(view.name, f.name, call, span(f.window.length), span(f.window.slide), f.dtype)
    return table


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, with the cost of each view."""
    described = asdict(plan)
    for entry, view in zip(described["views"], plan.views, strict=True):
        entry["windows"] = [asdict(window) for window in view.windows]
        entry["base"] = view.base
        entry["schema_id"] = view.schema_id
        entry["tile_bytes"] = tile_bytes(view)
        entry["hash_bytes"] = hash_bytes(view)
        entry["worst_case_tiles"] = worst_case_tiles(view)
        entry["worst_case_bytes"] = worst_case_bytes(view)
    return described
