"""tidemark rebuild: the rings of stream views, written anew from history."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streaming.errors import TidemarkError
from tidemark.jars import spark_jars


def command(
    repo: Path = typer.Option(Path("feature_repo"), "--repo", help="Folder of the Feast repo"),
    views: str = typer.Option(
        "", "--views", help="Stream views, separated by commas, of a checkpoint that stays [default: all]"
    ),
    checkpoint: str = typer.Option(
        "",
        "--checkpoint",
        help="The online lane's; a new one begins where history ends [default: REPO/data/online]",
    ),
    history: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
    history_checkpoint: str = typer.Option(
        "", "--history-checkpoint", help="The history lane's checkpoint [default: REPO/data/history]"
    ),
    yes: bool = typer.Option(False, "--yes", help="Do not ask"),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object"),
) -> None:
    """Write the rings of stream views anew from history, as an undisturbed lane would have.

    Stop the online lane first, and let the history lane catch up (`tidemark stream history
    --until-caught-up`). The online lane then goes on by itself.
    """
    if not yes and not typer.confirm(
        f"Delete the rings of {views or 'all views'} and write them from history?"
    ):
        raise TidemarkError("nothing was changed: answer y, or give --yes")
    from serving.deletion import delete_plan
    from streaming.checkpoint import Checkpoint
    from streaming.history import results
    from streaming.history.store import StoreSettings
    from streaming.jobs.runner import planned
    from streaming.settings import LaneSettings
    from streaming.sinks.delta import SPARK

    names = [name.strip() for name in views.split(",")] if views else None
    held = Checkpoint(checkpoint or str(repo / "data" / "online"))
    settings = LaneSettings.model_validate({})
    root = history or StoreSettings.model_validate({}).history
    if "://" not in root:
        root = str(Path(root).absolute())
    progress = Progress(
        TextColumn("rebuilding"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=as_json or not sys.stderr.isatty(),
    )
    with planned("rebuild", repo, names, held, settings, settings.partitions, spark_jars, SPARK) as (
        spark,
        plan,
    ):
        from streaming.history.rebuild import Rebuild

        with progress:
            bar = progress.add_task("")
            work = Rebuild(
                plan,
                held,
                settings,
                spark,
                root,
                history_checkpoint or str(repo / "data" / "history"),
                every=names is None,
                advance=lambda done, total: progress.update(bar, completed=done, total=total),
            )
            done = work.run(lambda: delete_plan(repo, plan))
    results.keep_rebuild(root, results.RebuildRun(datetime.now(UTC).isoformat(), done.events, done.seconds))
    if as_json:
        sys.stdout.write(msgspec.json.encode(asdict(done)).decode() + "\n")
        return
    where = f"at batch {done.batch}" if done.batch >= 0 else "at the end of history, for a new checkpoint"
    Console().print(
        f"{done.events:,} events in {done.rows:,} rows: {len(plan.views)} views rebuilt {where}, {done.seconds:.0f} s"
    )
