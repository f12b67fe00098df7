"""tidemark heartbeat: freshness of every view, measured where a model reads."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import structlog
import typer


def command(
    repo: Path = typer.Option(Path("feature_repo"), "--repo", help="Folder of the Feast repo"),
    every: float = typer.Option(10.0, "--every", min=0.1, help="Seconds between two heartbeats"),
    count: int = typer.Option(0, "--count", min=0, help="Stop after so many [default: never]"),
    timeout: float = typer.Option(30.0, "--timeout", min=1, help="Seconds after which one is lost"),
    metrics_port: int = typer.Option(0, "--metrics-port", help="Answer Prometheus on this port"),
    as_json: bool = typer.Option(False, "--json", help="One JSON line a heartbeat on standard output"),
) -> None:
    """Send an event of an entity of its own through everything, and measure when Feast shows it."""
    from feast import FeatureStore

    from serving.heartbeat import Heartbeat
    from streaming import definitions, lazy_spark, metrics
    from streaming.errors import ServiceError
    from streaming.jobs.online import logging
    from streaming.settings import LaneSettings

    lazy_spark.install()
    logging(plain=as_json)
    plan = definitions.load(repo)
    if brokers := LaneSettings.model_validate({}).kafka:
        plan = plan.at(brokers)
    if metrics_port:
        metrics.serve(metrics_port)
    halt = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: halt.set())
    heart = Heartbeat(plan, FeatureStore(repo_path=str(repo)), timeout)
    done = 0
    while not halt.is_set():
        try:
            _show(heart.beat(), as_json)
        except ServiceError as error:
            # What is away comes back; until then this is what there is to say.
            structlog.get_logger("tidemark.heartbeat").warning("no heartbeat", cause=str(error))
        done += 1
        if done == count:
            return
        halt.wait(every)


def _show(found: dict[str, float], as_json: bool) -> None:
    seconds: dict[str, Any] = {view: round(value, 3) for view, value in found.items()}
    if as_json:
        sys.stdout.write(msgspec.json.encode(seconds).decode() + "\n")
        sys.stdout.flush()
    else:
        structlog.get_logger("tidemark.heartbeat").info("seen", **seconds)
