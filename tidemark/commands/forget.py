"""tidemark forget: an entity out of Redis, out of history and, as far as a log lets it, out of Kafka."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streaming.errors import DefinitionError, TidemarkError
from tidemark.jars import spark_jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.checkpoint import Offsets
    from streaming.plan import Plan

OTHERS = ("risk-scores", "alerts")
"""Topics that the scoring lane writes."""


def command(
    entity: str = typer.Option(..., "--entity", help="KEY=VALUE, such as user_id=CUST00000001"),
    repo: Path = typer.Option(Path("feature_repo"), "--repo", help="Folder of the Feast repo"),
    history: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
    checkpoint: str = typer.Option("", "--checkpoint", help="The online lane's [default: REPO/data/online]"),
    history_checkpoint: str = typer.Option(
        "", "--history-checkpoint", help="The history lane's checkpoint [default: REPO/data/history]"
    ),
    truncate: bool = typer.Option(
        False,
        "--truncate",
        help="Also delete the topics' messages up to its last one, as far as the lanes have them",
    ),
    yes: bool = typer.Option(False, "--yes", help="Do not ask"),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object"),
) -> None:
    """Erase an entity from Redis, from the tables of history and from topics, and count what is left.

    Let the history lane catch up (`tidemark stream history --until-caught-up`) and stop it first. Exit code 1
    when anything is left that could be erased.
    """
    name, equals, value = entity.partition("=")
    if not (equals and name and value):
        raise DefinitionError(f"{entity!r} is not KEY=VALUE: write it like user_id=CUST00000001")
    if not yes and not typer.confirm(
        f"Erase all that is kept of {entity}, for good? Is the history lane stopped?"
    ):
        raise TidemarkError("nothing was erased: answer y, or give --yes")
    from streaming.checkpoint import Checkpoint
    from streaming.history.store import StoreSettings
    from streaming.jobs.runner import planned
    from streaming.settings import LaneSettings
    from streaming.sinks.delta import SPARK

    root = history or StoreSettings.model_validate({}).history
    root = root if "://" in root else str(Path(root).absolute())
    online = Checkpoint(checkpoint or str(repo / "data" / "online"))
    archive = Checkpoint(f"{history_checkpoint or repo / 'data' / 'history'}/arrivals")
    settings = LaneSettings.model_validate({})
    with planned("forget", repo, None, online, settings, settings.partitions, spark_jars, SPARK) as (
        spark,
        plan,
    ):
        bound = reached(plan, online, archive) if truncate else None
        done = forget(repo, plan, spark, root, settings, name, value, bound)
    if as_json:
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    else:
        _show(done)
    left = done["online_left"] + sum(t["left"] + t["old_files"] for t in done["tables"])
    if left:
        raise TidemarkError(
            f"{left} rows, files or hashes are left: stop the lanes that still write, and run this again"
        )


def forget(
    repo: Path,
    plan: Plan,
    spark: SparkSession,
    root: str,
    settings: Any,
    name: str,
    value: str,
    bound: Offsets | None,
) -> dict[str, Any]:
    """Erase, and say what was there and what is left. Raises DefinitionError for a key that no view has."""
    from feast import FeatureStore

    from serving import deletion
    from streaming.history.erase import Eraser
    from tidemark import log_eraser

    keys = sorted({key for view in plan.views for key, _ in view.join_keys})
    if name not in keys:
        raise DefinitionError(f"no view has the join key {name}: choose from {', '.join(keys)}")
    store = FeatureStore(repo_path=str(repo))
    client = store._get_provider().online_store._get_client(store.config.online_store)  # type: ignore[attr-defined]
    eraser = Eraser(spark, plan, root, name, value)
    # The log first: what is replayed from it would bring the entity back.
    topics = dict.fromkeys([s.topic for s in plan.sources])
    topics |= dict.fromkeys([settings.updates_topic, settings.dead_letter_topic, *OTHERS])
    bootstrap = plan.sources[0].bootstrap_servers
    found = log_eraser.find(bootstrap, topics, value)
    for topic in found:
        log_eraser.erase(bootstrap, topic, value, bound)
    tables = eraser.run()
    online = deletion.delete_entity(client, plan, name, value)
    again = {topic.topic: topic.messages for topic in log_eraser.find(bootstrap, topics, value)}
    return {
        "key": name,
        "online": online,
        "online_left": deletion.entity_left(client, plan, name, value),
        "tables": [asdict(table) for table in tables],
        "statistics_left": eraser.statistics(),
        "topics": [_topic(topic, again.get(topic.topic, 0)) for topic in found],
    }


def reached(plan: Plan, online: Any, archive: Any) -> dict[str, dict[str, int]]:
    """Offsets that both lanes are past: what may be deleted of the sources' topics."""
    ends = [entry.end for held in (online, archive) if (entry := held.entry(held.last_committed()))]
    bound: dict[str, dict[str, int]] = {source.topic: {} for source in plan.sources}
    if len(ends) == 2:
        for topic in bound:
            parts = ends[0].get(topic, {}).keys() & ends[1].get(topic, {}).keys()
            bound[topic] = {p: min(end[topic][p] for end in ends) for p in parts}
    return bound


def _topic(found: Any, left: int) -> dict[str, Any]:
    gone = None
    if left and not found.compacted and found.retention >= 0:
        gone = datetime.fromtimestamp((found.newest + found.retention) / 1000, UTC).isoformat(
            timespec="minutes"
        )
    return {
        "topic": found.topic,
        "messages": found.messages,
        "left": left,
        "erased": found.erased,
        "gone_after": gone,
    }


def _show(done: dict[str, Any]) -> None:
    shown = Table(box=None, pad_edge=False)
    for column in ("where", "found", "left", ""):
        shown.add_column(column, justify="right" if column in ("found", "left") else "left")
    shown.add_row("Redis", f"{done['online']:,}", f"{done['online_left']:,}", "hashes")
    for table in done["tables"]:
        old = f", {table['old_files']} old files" if table["old_files"] else ""
        shown.add_row(table["table"], f"{table['rows']:,}", f"{table['left']:,}", f"rows{old}")
    for topic in done["topics"]:
        note = topic["erased"] or (f"the log keeps them until {topic['gone_after']}" if topic["left"] else "")
        shown.add_row(f"topic {topic['topic']}", f"{topic['messages']:,}", f"{topic['left']:,}", note)
    console = Console()
    console.print(shown)
    if done["statistics_left"]:
        console.print(
            f"{done['statistics_left']} files of Delta's logs name it as the least or greatest of a deleted file, until Delta "
            "cleans its logs up (30 days)"
        )
