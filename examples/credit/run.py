"""The credit example: make the data, train if needed, decide on one application, and show how good that is."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from examples.credit.settings import HERE, CreditSettings
from streaming.errors import TidemarkError


def run(
    application: Path | None = typer.Option(
        None, "--application", help="JSON file of an application [default: a sample]"
    ),
    field: list[str] = typer.Option([], "--set", metavar="NAME=VALUE", help="A field of it; may be repeated"),
    today: datetime | None = typer.Option(
        None, "--today", help="The day of the decision [default: the data's last]"
    ),
    redis: str = typer.Option("", "--redis", help="host:port of a Redis [default: one of its own]"),
    loans: int = typer.Option(0, "--loans", help="Loans to simulate [default: 28638]"),
    decide_only: bool = typer.Option(False, "--decide-only", help="No table and picture at the end"),
    page: bool = typer.Option(False, "--page", help="Then show the page, until Ctrl-C"),
    publish: bool = typer.Option(
        False, "--publish", help="Write table and picture into this example's README"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the decision as JSON"),
) -> None:
    """Decide on one application for a loan."""
    given = _given(application, field)
    # Feast takes seconds to import, which a wrong option should not.
    from examples.credit import report
    from examples.credit.desk import desk

    # Feast's, of things that are as they should be; it sets filters of its own when it is imported.
    warnings.filterwarnings("ignore")
    settings = CreditSettings.model_validate({"loans": loans} if loans else {})
    with desk(settings, redis or None, _say) as held:
        model = held.trained()
        moment = today.replace(tzinfo=UTC) if today else None
        decision, record = held.decide(model, given, moment)
        if as_json:
            typer.echo(json.dumps({**asdict(decision), "features": record.values}, default=str))
        else:
            _show(decision, record)
        if not decide_only:
            made = report.report(held, model)
            typer.echo(f"\n{made.markdown}\n")
            picture = settings.folder / "results.png"
            made.draw(picture)
            typer.echo(f"picture: {picture}")
            if publish:
                report.publish(made)
        if page:
            address = held.store.config.online_store.connection_string
            options = ["--client.toolbarMode=minimal", "--browser.gatherUsageStats=false"]
            command = [
                sys.executable,
                "-m",
                "streamlit",
                "run",
                str(HERE / "page.py"),
                *options,
                "--",
                address,
            ]
            subprocess.run(command, check=False)


def _given(file: Path | None, fields: list[str]) -> dict[str, Any]:
    try:
        given = json.loads(file.read_text()) if file else {}
    except (OSError, ValueError) as error:
        raise TidemarkError(
            f"{file} is no JSON file ({error}): name one that holds an application"
        ) from error
    if not isinstance(given, dict):
        raise TidemarkError(f"{file} does not hold one application: write an object with its fields")
    for text in fields:
        name, equals, value = text.partition("=")
        if not equals:
            raise TidemarkError(f"--set {text} has no value: write NAME=VALUE")
        given[name] = value
    return given


def _say(text: str) -> None:
    typer.echo(f"... {text}", err=True)


def _show(decision: Any, record: Any) -> None:
    typer.echo(f"\n{decision.text}")
    typer.echo(
        f"  probability of default {decision.probability:.1%}, loans are given below {decision.threshold:.0%}"
    )
    for reason in decision.reasons:
        typer.echo(f"  against: {reason.text} ({reason.share:+.2f} log-odds)")
    for note in decision.notes:
        typer.echo(f"  note: {note}")
    if record.stamped:
        typer.echo(f"  credit record of {record.stamped:%Y-%m-%d}")


def main() -> None:
    """Run the command; an error of ours is one line."""
    try:
        typer.run(run)
    except TidemarkError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
