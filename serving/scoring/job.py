"""`tidemark stream scores`: the scoring lane as a program."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
import typer

from serving.scoring.settings import ScoringSettings

MEGABYTE = 1 << 20


def command(jars: Callable[[], Sequence[Path]] | None = None) -> Callable[..., None]:
    """The typer command; `jars` fetches what Spark needs."""

    def scores(
        repo: Path = typer.Option(..., "--repo", help="Folder of the Feast repo (after `feast apply`)"),
        starting_offsets: str = typer.Option(
            "latest", "--starting-offsets", help="earliest or latest; for a group that has scored nothing yet"
        ),
        until_caught_up: bool = typer.Option(
            False, "--until-caught-up", help="Stop when what Kafka holds now is scored"
        ),
        group: str = typer.Option("", "--group", help="Consumer group [default: tidemark-scores]"),
        updates: bool = typer.Option(True, help="Send served features to the topic feature-updates"),
        metrics_port: int = typer.Option(0, "--metrics-port", help="Answer Prometheus on this port"),
        as_json: bool = typer.Option(
            False, "--json", help="One JSON line a second on standard output; logs as JSON"
        ),
    ) -> None:
        """Score every event as it passes, with features that include it."""
        if starting_offsets not in ("earliest", "latest"):
            raise typer.BadParameter("--starting-offsets is earliest or latest")
        from streaming.jobs.online import logging

        logging(plain=as_json)
        given = {
            "scoring_group": group or None,
            "scoring_metrics_port": metrics_port or None,
            "updates": None if updates else False,
        }
        settings = ScoringSettings.model_validate({k: v for k, v in given.items() if v is not None})
        run(
            repo,
            settings,
            starting_offsets=starting_offsets,
            until_caught_up=until_caught_up,
            jars=jars,
            on_line=_print_json if as_json else _log,
        )

    return scores


def run(
    repo: Path,
    settings: ScoringSettings,
    *,
    starting_offsets: str,
    until_caught_up: bool,
    jars: Callable[[], Sequence[Path]] | None,
    on_line: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Run one process of the lane until it is stopped. Raises TidemarkError."""
    from streaming import metrics, session
    from streaming.checkpoint import Checkpoint
    from streaming.jobs.runner import _until_told, planned
    from streaming.settings import LaneSettings

    small = {"master": "local[1]", "driver_memory": settings.scoring_driver_memory, "kafka": settings.kafka}
    machine = LaneSettings.model_validate({}).model_copy(update=small)
    held = Checkpoint(str(repo / "data" / "scores"))
    with planned("scores", repo, None, held, machine, 1, jars, session.PREPARING) as (spark, plan):
        from feast import FeatureStore

        from serving.scoring.lane import ScoringLane
        from streaming.prepare import Preparer

        store = FeatureStore(repo_path=str(repo))
        scorer = scorer_of(store, plan, settings)
        if settings.scoring_metrics_port:
            metrics.serve(settings.scoring_metrics_port)
        preparer = Preparer(plan, spark, scorer.fields)
        lane = ScoringLane(plan, preparer, scorer, settings, models_of(store, plan, scorer), on_line)
        # The thread that prepares and the one that scores wait for each other less long than Python's 5 ms.
        sys.setswitchinterval(0.0003)
        _until_told(lane, starting_offsets, until_caught_up)


def scorer_of(store: Any, plan: Any, settings: ScoringSettings) -> Any:
    """The scorer of a repo's services. Raises DefinitionError."""
    from serving.scoring import services
    from serving.scoring.rings import Limits
    from serving.scoring.scorer import Scorer
    from streaming.redis.bulk import Bulk
    from streaming.redis.target import RedisTarget

    limits = Limits(settings.scoring_memory * MEGABYTE, settings.scoring_recent, settings.scoring_fresh)
    target = RedisTarget(plan.redis, plan.redis_cluster, timeout=5)
    return Scorer(
        plan, services.load(store, plan), lambda: Bulk(target), lambda: time.time_ns() // 1_000_000, limits
    )


def models_of(store: Any, plan: Any, scorer: Any) -> Any:
    """The promoted models that the services' tag `model` names."""
    from functools import partial

    from serving.scoring.models import Models
    from training.models import ModelSettings, current

    root = ModelSettings.model_validate({}).models
    names = {s.name: store.get_feature_service(s.name).tags.get("model") for s in scorer.services.values()}
    find = {service: partial(current, root, name, plan) for service, name in names.items() if name}
    return Models(find, time.time)


def _print_json(line: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _log(line: dict[str, Any]) -> None:
    if line["read"]:
        shown = {name: line[name] for name in ("scored", "inexact", "alerts", "duplicates", "lag")}
        structlog.get_logger("tidemark.scores").info(
            "second", **shown, p50=line.get("p50"), p99=line.get("p99")
        )
