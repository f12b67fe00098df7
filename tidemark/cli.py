"""The command `tidemark`: a list of names; a command's module is imported only when it runs."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from streaming.errors import TidemarkError

COMMANDS = {
    "demo": "Run the whole platform on this machine for a minute",
    "services": "Start and stop Kafka and Redis on this machine, without Docker",
    "topics": "Create and list the topics of conf/topics.yaml",
    "produce": "Send realistic claims, transactions and telemetry to Kafka",
    "plan": "Show what a Feast repo asks to compute, its cost, what is refused and what changes",
    "stream": "Run the lanes that compute features",
    "rebuild": "Write the online features anew from history",
    "quality": "Measure the stored features day by day: nulls, quantiles, drift",
    "parity": "Compare served features with history, value by value",
    "features": "Read features as they are now or as of a moment, and their versions",
    "serve": "Answer features, scores and alerts over HTTP, with a page to see them",
    "watch": "See rates, lag, freshness, score latency and alerts as they change",
    "training-set": "Label rows with the features of their moments, from history",
    "train": "Train a model on history, measured against the rules",
    "retrain": "Train anew, and promote only what is ahead on the newest days",
    "models": "List the trained models, promote one, go back",
    "backfill": "Write features as of each past event, for Feast's own joins",
    "heartbeat": "Measure freshness where a model reads, over and over",
    "trace": "Show an event's whole way, from its offset to its alert",
    "forget": "Erase an entity everywhere, and prove it",
    "bench": "Measure the engine beside its peers",
    "jars": "Fetch and check the jars of Spark and of the broker",
}
"""Each name is a module of `tidemark.commands` that holds a typer `app`, or one function `command`."""


class Commands(TyperGroup):
    """A group that knows its commands' names and help without importing them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        present = {name: text for name, text in COMMANDS.items() if importlib.util.find_spec(_module(name))}
        self.commands = {name: TyperCommand(name, help=text) for name, text in present.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, stub, rest = super().resolve_command(ctx, args)
        return name, load(stub.name) if stub is not None and stub.name else stub, rest


def load(name: str) -> Any:
    """The command called `name`, imported now."""
    module = importlib.import_module(_module(name))
    if hasattr(module, "app"):
        return typer.main.get_group(module.app)
    single = typer.Typer(add_completion=False)
    single.command(name)(module.command)
    return typer.main.get_command(single)


def _module(name: str) -> str:
    return f"tidemark.commands.{name.replace('-', '_')}"


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def tidemark() -> None:
    """Streaming features for Feast: Kafka in, exact windowed features out.

    Errors are one line; --debug anywhere shows where they come from.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for an error with a remedy, 2 for wrong usage."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in words
    try:
        app([word for word in words if word != "--debug"], prog_name="tidemark")
    except TidemarkError as error:
        if debug:
            raise
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"[red]{escape(' '.join(str(error).split()))}[/red]")
        sys.exit(1)


if __name__ == "__main__":
    main()
