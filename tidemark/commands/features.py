"""tidemark features: read features through Feast, as a model would."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streaming.errors import DefinitionError

if TYPE_CHECKING:
    from serving.lookup import Answer, Found

app = typer.Typer(no_args_is_help=True, help="Read features as they are now or as of a moment.")


@app.callback()
def features() -> None:
    """Read features as they are now or as of a moment."""


@app.command()
def get(
    repo: Path = typer.Option(..., "--repo", help="Folder of the Feast repo"),
    service: str | None = typer.Option(None, "--service", help="Name of a feature service"),
    refs: str | None = typer.Option(None, "--features", help="References view:feature, separated by commas"),
    entity: list[str] = typer.Option(..., "--entity", help="KEY=VALUE; again for another key or another row"),
    request: list[str] = typer.Option(
        [], "--request", help="NAME=VALUE of request data, for on-demand views"
    ),
    as_of: str | None = typer.Option(None, "--as-of", help="A moment, such as 2026-01-31T12:00:00Z"),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON"),
) -> None:
    """Show features of entities, with a reason for each that is null.

    A feature is incomplete until the stream behind it was read for its whole window. A moment before an
    entity's newest event is refused: a ring only knows the present and what follows from it.
    """
    import serving
    from serving.lookup import lookup

    if (service is None) == (refs is None):
        raise DefinitionError("name what to read: either --service NAME or --features view:feature,...")
    moment = _moment(as_of) if as_of else None
    wanted = service or [ref.strip() for ref in (refs or "").split(",")]
    entities: dict[str, list[str]] = {}
    for key, value in map(_pair, entity):
        entities.setdefault(key, []).append(value)
    with serving.as_of(moment) if moment else nullcontext():
        answers = lookup(_open(repo), wanted, entities, dict(map(_pair, request)))
    if as_json:
        typer.echo(json.dumps({"as_of": as_of, "rows": [_plain(answer) for answer in answers]}, default=str))
    else:
        _show(answers, moment)


@app.command()
def versions(
    repo: Path = typer.Option(..., "--repo", help="Folder of the Feast repo"),
    views: str = typer.Option("", "--views", help="Only these views, separated by commas"),
    history: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON"),
) -> None:
    """List the versions of definitions that made the rows of the feature tables, the newest first.

    Read one with streaming.history.versions.read(spark, root, view, version).
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from streaming.history import store, version
    from streaming.history import versions as stored
    from tidemark.commands import plan as plans

    plan = plans.read(repo, [v.strip() for v in views.split(",") if v.strip()] or None, udfs=True)
    root = plans.stored_at(history)
    listed = [
        {"view": view.name, "asked": held.definition == version.definition(plan, view), **asdict(held)}
        for view in plan.views
        for held in stored.versions(stored.parts(root, view.name))
    ]
    if as_json:
        typer.echo(json.dumps({"versions": listed}, default=str))
        return
    if not listed:
        raise store.HistoryError(
            f"there are no feature tables in {root}/features: run `tidemark backfill` first"
        )
    table = Table(box=None, pad_edge=False)
    for column in ("view, version", "first", "last", "dates", "rows", "made"):
        table.add_column(column, no_wrap=True)
    for held in listed:
        name = f"{held['view']}\n  {held['definition']}{', current' if held['asked'] else ''}"
        numbers = f"{held['dates']:,}", f"{held['rows']:,}"
        table.add_row(name, str(held["first"]), str(held["last"]), *numbers, f"{held['created']:%Y-%m-%d}")
    Console().print(table)


def _open(repo: Path) -> Any:
    from feast import FeatureStore

    if not (repo / "feature_store.yaml").is_file():
        raise DefinitionError(f"there is no feature_store.yaml in {repo}: name the folder of a Feast repo")
    return FeatureStore(repo_path=str(repo))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise DefinitionError(f"{text!r} is not KEY=VALUE: write it like user_id=U1")
    return key, value


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DefinitionError(f"--as-of {text!r} is not a time: write it like 2026-01-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(answer: Answer) -> dict[str, Any]:
    return {
        "entity": answer.entity,
        "features": {
            name: {
                "value": found.value,
                "status": found.status,
                "newest_event": found.newest_event and found.newest_event.isoformat(),
                "reason": found.reason or None,
            }
            for name, found in answer.features.items()
        },
    }


def _show(answers: list[Answer], moment: datetime | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for answer in answers:
        named = " ".join(f"{key}={value}" for key, value in answer.entity.items())
        table = Table(title=f"{named} as of {moment.isoformat() if moment else 'now'}", title_justify="left")
        table.add_column("feature", no_wrap=True)
        table.add_column("value", justify="right")
        table.add_column("status")
        table.add_column("newest event")
        table.add_column("")
        for name, found in answer.features.items():
            stamp = found.newest_event.isoformat(timespec="milliseconds") if found.newest_event else ""
            table.add_row(name, _text(found), _status(found), stamp, found.reason)
        console.print(table)


def _text(found: Found) -> str:
    if found.value is None:
        return "-"
    return f"{found.value:,.6g}" if isinstance(found.value, float) else str(found.value)


def _status(found: Found) -> str:
    colour = {"PRESENT": "green", "NULL_VALUE": "yellow"}.get(found.status, "red")
    return f"[{colour}]{found.status}[/{colour}]"
