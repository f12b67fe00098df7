"""tidemark backfill: feature tables as of each event, which Feast's own join reads."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import typer

from streaming.errors import TidemarkError


def command(
    repo: Path = typer.Option(
        Path("feature_repo"), "--repo", help="Folder of the Feast repo, after feast apply"
    ),
    since: str = typer.Option(
        "", "--from", help="First day, such as 2026-01-31 (UTC) [default: the beginning]"
    ),
    until: str = typer.Option("", "--to", help="The day after the last [default: all there is]"),
    views: str = typer.Option("", "--views", help="Stream views, separated by commas [default: all]"),
    history: str = typer.Option("", "--history", help="Folder or URI of the history [default: var/history]"),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object"),
) -> None:
    """Write what features were when each event had happened: Parquet by day, the views' Feast batch_source.

    Days that are there already are written anew as a whole, so running it again changes nothing.
    """
    from streaming import definitions
    from streaming.history.backfill import backfill
    from streaming.history.events import Events
    from streaming.history.sessions import session
    from streaming.history.store import StoreSettings
    from tidemark.jars import spark_jars

    first, end = _day("--from", since), _day("--to", until)
    settings = StoreSettings.model_validate({"history": history} if history else {})
    names = [name.strip() for name in views.split(",")] if views else None
    done = []
    with session("backfill", settings, spark_jars) as spark:
        plan = definitions.load(repo, names, spark)
        events = Events(spark, plan, settings.history)
        tasks = settings.history_tasks or 4 * spark.sparkContext.defaultParallelism
        for view in plan.views:
            began = time.monotonic()
            written = backfill(events, view, first, end, tasks=tasks, now=datetime.now(UTC))
            done.append({**asdict(written), "seconds": time.monotonic() - began})
            if not as_json:
                typer.echo(
                    f"{view.name}: {written.rows:,} rows on {written.dates} days, version {written.definition}"
                )
    if as_json:
        typer.echo(json.dumps({"history": settings.history, "views": done}))


def _day(option: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise TidemarkError(f"{option} {text!r} is not a day: write it like 2026-01-31") from None
