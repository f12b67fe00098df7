"""tidemark plan: what a Feast repo asks the engine to compute, and what it costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from streaming.definitions import load
from streaming.definitions.cost import hash_bytes, tile_bytes, worst_case_bytes, worst_case_tiles
from streaming.plan import Plan, View

UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))
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
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON"),
) -> None:
    """Show what a Feast repo asks to compute, its cost and what is refused."""
    plan = read(repo, [v.strip() for v in views.split(",") if v.strip()] or None, udfs)
    if as_json:
        typer.echo(json.dumps(describe(plan)))
        return
    console = Console()
    console.print(overview(plan))
    if features:
        console.print(listing(plan))
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(GROWING, style="dim", soft_wrap=True)


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


def span(milliseconds: int) -> str:
    """A duration in its largest whole unit, such as 5min."""
    size, unit = next((s, u) for s, u in UNITS if milliseconds % s == 0)
    return f"{milliseconds // size}{unit}"


def windows(view: View) -> str:
    """Length/slide of each window, shortest first; a tumbling window has its length alone."""
    return " ".join(
        f"{span(w.length)}/{span(w.slide)}" if w.slide != w.length else span(w.length) for w in view.windows
    )


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
