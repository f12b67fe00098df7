"""tidemark training-set: labels with the features that would have been served at their moments."""

from __future__ import annotations

import json
import time
from pathlib import Path

import typer


def command(
    repo: Path = typer.Option(
        Path("feature_repo"), "--repo", help="Folder of the Feast repo, after feast apply"
    ),
    entities: str = typer.Option(
        ..., "--entities", help="Labels: Parquet with join keys and event_timestamp"
    ),
    features: str = typer.Option(
        ..., "--features", help="A feature service, or view:feature,view:feature,..."
    ),
    out: str = typer.Option(..., "--out", help="Parquet file to write"),
    exclude_own_event: bool = typer.Option(
        False,
        "--exclude-own-event",
        help="Leave out the event that a label is about [default: included, as served]",
    ),
    full_feature_names: bool = typer.Option(False, "--full-feature-names", help="Columns are view__feature"),
    history: str = typer.Option("", "--history", help="Folder or URI of the history [default: var/history]"),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object"),
) -> None:
    """Write each label, in order, with its features as of its event_timestamp, from history.

    A feature covers what happened up to and including that moment. Labels may carry _topic, _partition and _offset
    of their own event: --exclude-own-event then leaves out that event, and else everything of its microsecond.
    """
    from streaming.history.sessions import session
    from streaming.history.store import StoreSettings
    from tidemark.jars import spark_jars
    from training import training_set

    settings = StoreSettings.model_validate({"history": history} if history else {})
    with session("training-set", settings, spark_jars) as spark:
        began = time.monotonic()
        done = training_set(
            repo,
            entities,
            features,
            out,
            spark=spark,
            include_own=not exclude_own_event,
            full_feature_names=full_feature_names,
            settings=settings,
        )
    seconds = time.monotonic() - began
    if as_json:
        result = {"out": done.out, "rows": done.rows, "features": list(done.features), "seconds": seconds}
        typer.echo(json.dumps(result))
    else:
        typer.echo(f"{done.rows:,} rows with {len(done.features)} features in {done.out} ({seconds:.1f} s)")
