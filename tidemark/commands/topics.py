"""tidemark topics: create what conf/topics.yaml declares, list what is there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from tidemark import broker, topics
from tidemark.settings import local_settings

app = typer.Typer(no_args_is_help=True, help="Create and list the topics of conf/topics.yaml.")

BOOTSTRAP = typer.Option(
    None, "--bootstrap", metavar="HOST:PORT", help="The broker [default: TIDEMARK_BOOTSTRAP, 127.0.0.1:9092]"
)


@app.command()
def apply(
    bootstrap: str | None = BOOTSTRAP,
    partitions: list[str] = typer.Option(
        [], "--partitions", help="N for every topic, or topic=N; repeatable"
    ),
    small: bool = typer.Option(False, "--small", help="Few partitions, for one small machine"),
    file: Path | None = typer.Option(None, "--file", help="Another file than conf/topics.yaml"),
) -> None:
    """Create missing topics, add partitions, correct settings. Nothing is ever deleted."""
    settings = local_settings()
    wanted = topics.declared(file or settings.conf_dir / "topics.yaml")
    sizes = topics.sized(wanted, small=small, overrides=partitions)
    for outcome in broker.apply(bootstrap or settings.bootstrap, wanted, sizes):
        typer.echo(f"{outcome.topic}: {outcome.partitions} partitions, {outcome.done}")
        if outcome.warning:
            typer.echo(f"warning: {outcome.topic}: {outcome.warning}", err=True)


@app.command("list")
def list_topics(
    bootstrap: str | None = BOOTSTRAP,
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON a topic"),
) -> None:
    """Show every topic: partitions, events kept, retention and whose clock stamps them."""
    found = broker.listed(bootstrap or local_settings().bootstrap)
    if as_json:
        for topic in found:
            typer.echo(json.dumps(asdict(topic)))
        return
    table = Table("topic", "partitions", "events", "retention", "timestamps", box=None)
    for topic in found:
        days = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms / 86_400_000:g} d"
        table.add_row(topic.name, str(topic.partitions), f"{topic.events:,}", days, topic.timestamps)
    Console().print(table)
