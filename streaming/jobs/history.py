"""The history lane as a program: `spark-submit streaming/jobs/history.py --repo DIR`, or `tidemark stream history`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
import typer

from streaming.jobs.online import logging, submitted
from streaming.settings import HistorySettings


def command(jars: Callable[[], Sequence[Path]] | None = None) -> Callable[..., None]:
    """The typer command; `jars` fetches what Spark needs where it is not run by spark-submit."""

    def history(
        repo: Path = typer.Option(..., "--repo", help="Folder of the Feast repo (after `feast apply`)"),
        place: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
        checkpoint: str = typer.Option(
            "", "--checkpoint", help="Folder or URI of the lane's checkpoint [default: REPO/data/history]"
        ),
        views: str = typer.Option(
            "", "--views", help="Only the sources and windows of these stream views, by commas [default: all]"
        ),
        sink: list[str] = typer.Option(
            [],
            "--sink",
            help="A further destination, such as parquet:PATH or postgresql://...; may be repeated",
        ),
        windows: str = typer.Option("", "--windows", help="none, tumbling or all [default: tumbling]"),
        starting_offsets: str = typer.Option(
            "earliest", "--starting-offsets", help="earliest or latest; for a new checkpoint"
        ),
        until_caught_up: bool = typer.Option(
            False, "--until-caught-up", help="Stop when what Kafka holds now is in every table and sink"
        ),
        master: str = typer.Option(
            "", "--master", help="Spark master [default: what spark-submit says, else local[*]]"
        ),
        max_events: int = typer.Option(0, "--max-events", help="At most so many messages a batch"),
        partitions: int = typer.Option(0, "--partitions", help="Tasks of a shuffle [default: the cores]"),
        trigger: int = typer.Option(
            -1, "--trigger", help="Least time between batches in ms [default: 60000]"
        ),
        metrics_port: int = typer.Option(0, "--metrics-port", help="Answer Prometheus on this port"),
        as_json: bool = typer.Option(
            False, "--json", help="One JSON line a batch on standard output; logs as JSON"
        ),
    ) -> None:
        """Keep every event, once, in Delta tables, with final windows and sessions over them."""
        if starting_offsets not in ("earliest", "latest"):
            raise typer.BadParameter("--starting-offsets is earliest or latest")
        if windows not in ("", "none", "tumbling", "all"):
            raise typer.BadParameter("--windows is none, tumbling or all")
        # Feast takes seconds to import, which neither --help nor a wrong option should.
        from streaming.jobs.runner import run_history

        logging(plain=as_json)
        given = {
            "history": place or None,
            "history_sinks": " ".join(sink) or None,
            "history_windows": windows or None,
            "history_max_events": max_events or None,
            "history_partitions": partitions or None,
            "history_trigger": trigger if trigger >= 0 else None,
            "history_metrics_port": metrics_port or None,
            "master": master or None,
        }
        run_history(
            repo,
            [name.strip() for name in views.split(",")] if views else None,
            checkpoint or str(repo / "data" / "history"),
            HistorySettings.model_validate(
                {name: value for name, value in given.items() if value is not None}
            ),
            starting_offsets=starting_offsets,
            until_caught_up=until_caught_up,
            jars=jars,
            on_batch=_print_json if as_json else _log,
        )

    return history


def _print_json(line: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _log(line: dict[str, Any]) -> None:
    structlog.get_logger("tidemark.history").info(
        "batch",
        flow=line["flow"],
        number=line["batch"],
        written=sum(line["written"].values()),
        duplicates=line["duplicates"],
        quarantined=sum(sum(reasons.values()) for reasons in line.get("quarantined", {}).values()),
        seconds=line["seconds"],
    )


if __name__ == "__main__":
    submitted(command())
