"""tidemark trace: an event's whole way, from its offset to its alert."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from streaming.errors import TidemarkError
from tidemark.jars import spark_jars

if TYPE_CHECKING:
    from tidemark.tracing import Copy


def command(
    event: str = typer.Argument(
        ..., metavar="EVENT_ID", help="Its id, or its place as topic/partition/offset"
    ),
    repo: Path = typer.Option(Path("feature_repo"), "--repo", help="Folder of the Feast repo"),
    history: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
    checkpoint: str = typer.Option("", "--checkpoint", help="The online lane's [default: REPO/data/online]"),
    history_checkpoint: str = typer.Option(
        "", "--history-checkpoint", help="The history lane's checkpoint [default: REPO/data/history]"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON list, a copy of the event an entry"),
) -> None:
    """Show where an event is, whether it was admitted, its batch, served features, score and alert.

    What history has is found in its tables; what came since is looked for in Kafka, from where history ends.
    """
    from streaming.checkpoint import Checkpoint
    from streaming.history.store import StoreSettings
    from streaming.jobs.runner import planned
    from streaming.settings import LaneSettings
    from streaming.sinks.delta import SPARK
    from tidemark import tracing

    root = history or StoreSettings.model_validate({}).history
    root = root if "://" in root else str(Path(root).absolute())
    online = Checkpoint(checkpoint or str(repo / "data" / "online"))
    archive = Checkpoint(f"{history_checkpoint or repo / 'data' / 'history'}/arrivals")
    settings = LaneSettings.model_validate({})
    with planned("trace", repo, None, online, settings, settings.partitions, spark_jars, SPARK) as (
        spark,
        plan,
    ):
        topics = settings.updates_topic, settings.dead_letter_topic
        copies = tracing.Trace(spark, plan, root, online, archive, *topics).follow(event)
    if not copies:
        raise TidemarkError(
            f"no event {event} in history or in what Kafka has since: give its id, or its place as topic/partition/offset"
        )
    if as_json:
        sys.stdout.write(json.dumps(tracing.plain(copies), default=str) + "\n")
        return
    for copy in copies:
        show(copy, Console(highlight=False))


def show(copy: Copy, console: Console) -> None:
    """One copy's way, a line a step."""

    def moment(value: object) -> str:
        return str(value)[:23] if value else "-"

    console.print(f"[bold]{copy.place}[/bold]")
    console.print(f"  {moment(copy.event_time)}  happened")
    console.print(f"  {moment(copy.arrived)}  taken by Kafka")
    kept = ", in dead-letter" if copy.dead_letter else ""
    console.print(f"  {'':23}  {copy.outcome}{kept}")
    if copy.batch is not None:
        console.print(f"  {moment(copy.batch_cut)}  batch {copy.batch} of the online lane")
    for view, features in copy.features.items():
        shown = ", ".join(f"{name} {_short(value)}" for name, value in list(features.items())[:4])
        more = f" and {len(features) - 4} more" if len(features) > 4 else ""
        console.print(f"  {'':23}  served after it, {view}: {shown}{more}")
    if copy.score:
        inexact = " (inexact)" if copy.score.get("inexact") else ""
        console.print(
            f"  {moment(copy.score.get('scored'))}  score {_short(copy.score.get('score'))}{inexact}"
        )
    if copy.alert:
        console.print(f"  {'':23}  alert {copy.alert.get('alert_level')}")


def _short(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
