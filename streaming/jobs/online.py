"""The online lane as a program: `spark-submit streaming/jobs/online.py --repo DIR`, or `tidemark stream online`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
import typer
from rich.console import Console
from rich.markup import escape

from streaming.errors import TidemarkError
from streaming.settings import LaneSettings


def logging(*, plain: bool) -> None:
    """Log to standard error: for people, or one JSON object a line when `plain`."""
    renderer = (
        structlog.processors.JSONRenderer()
        if plain
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def command(jars: Callable[[], Sequence[Path]] | None = None) -> Callable[..., None]:
    """The typer command; `jars` fetches what Spark needs where it is not run by spark-submit."""

    def online(
        repo: Path = typer.Option(..., "--repo", help="Folder of the Feast repo (after `feast apply`)"),
        views: str = typer.Option(
            "", "--views", help="Stream views to compute, separated by commas [default: all]"
        ),
        checkpoint: str = typer.Option(
            "", "--checkpoint", help="Folder or URI of the lane's checkpoint [default: REPO/data/online]"
        ),
        starting_offsets: str = typer.Option(
            "earliest", "--starting-offsets", help="earliest or latest; for a new checkpoint"
        ),
        until_caught_up: bool = typer.Option(
            False, "--until-caught-up", help="Stop when what Kafka holds now is done"
        ),
        master: str = typer.Option(
            "", "--master", help="Spark master [default: what spark-submit says, else local[*]]"
        ),
        max_events: int = typer.Option(0, "--max-events", help="At most so many messages a batch"),
        partitions: int = typer.Option(
            0, "--partitions", help="Tasks that write to Redis [default: the cores]"
        ),
        trigger: int = typer.Option(-1, "--trigger", help="Least time between batches in ms [default: 200]"),
        updates: bool = typer.Option(True, help="Send features to the topic feature-updates"),
        metrics_port: int = typer.Option(0, "--metrics-port", help="Answer Prometheus on this port"),
        as_json: bool = typer.Option(
            False, "--json", help="One JSON line a batch on standard output; logs as JSON"
        ),
    ) -> None:
        """Compute windowed features from Kafka into Feast's online store, continuously."""
        if starting_offsets not in ("earliest", "latest"):
            raise typer.BadParameter("--starting-offsets is earliest or latest")
        # Feast takes seconds to import, which neither --help nor a wrong option should.
        from streaming.jobs.runner import run

        logging(plain=as_json)
        given = {
            "master": master or None,
            "max_events": max_events or None,
            "partitions": partitions or None,
            "trigger": trigger if trigger >= 0 else None,
            "metrics_port": metrics_port or None,
            "updates": None if updates else False,
        }
        settings = LaneSettings.model_validate(
            {name: value for name, value in given.items() if value is not None}
        )
        run(
            repo,
            [name.strip() for name in views.split(",")] if views else None,
            checkpoint or str(repo / "data" / "online"),
            settings,
            starting_offsets=starting_offsets,
            until_caught_up=until_caught_up,
            jars=jars,
            on_batch=_print_json if as_json else _log,
        )

    return online


def _print_json(line: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _log(line: dict[str, Any]) -> None:
    views = {name: view["used"] for name, view in line["views"].items() if view["used"]}
    structlog.get_logger("tidemark.online").info(
        "batch",
        number=line["batch"],
        read=line["read"],
        duplicates=line["duplicates"],
        quarantined=sum(sum(reasons.values()) for reasons in line["quarantined"].values()),
        lag=line["lag"],
        seconds=line["seconds"].get("spark triggerExecution"),
        used=views,
    )


def submitted(job: Callable[..., None]) -> None:
    """Run a lane's command for spark-submit: one line and exit code 1 for an error with a remedy."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(job)
    try:
        app()
    except TidemarkError as error:
        line = escape(" ".join(str(error).split()))
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"[red]{line}[/red]")
        sys.exit(1)


if __name__ == "__main__":
    submitted(command())
