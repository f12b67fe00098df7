"""tidemark demo: everything on this machine, for a minute."""

from __future__ import annotations

import typer
from rich.console import Console

WIDE = 150
"""Columns where there is no terminal to measure."""


def command(
    short: bool = typer.Option(False, "--short", help="A quick one: 20 s of traffic"),
    rate: float = typer.Option(1_000, min=100, max=50_000, help="Events a second, all streams together"),
    seconds: float | None = typer.Option(None, min=2, max=1_800, help="Length of the traffic [default: 60]"),
    keep: bool = typer.Option(False, "--keep", help="Leave Kafka, Redis and the data for you to try"),
) -> None:
    """Run the whole platform: services, definitions, Spark, hostile traffic, features through Feast.

    Uses free ports and a directory of its own. Exits with 1 when a count does not add up. Ctrl-C
    leaves nothing running.
    """
    from tidemark.demo.run import Demo, Options

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    options = Options(rate, seconds if seconds is not None else 20 if short else 60, keep)
    try:
        Demo(options, console).play()
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        raise typer.Exit(130) from None
