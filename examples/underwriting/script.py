"""Running a function as a command line, where an error is one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from streaming.errors import TidemarkError


def run(function: Callable[..., Any]) -> None:
    """Run `function` with the options of its signature and exit: 0, 1 for an error with a remedy, 2 for wrong usage."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(function)
    try:
        app()
    except TidemarkError as error:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"[red]{escape(' '.join(str(error).split()))}[/red]")
        sys.exit(1)
