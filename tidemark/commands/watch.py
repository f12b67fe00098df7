"""tidemark watch: the lanes and their alerts as they change."""

from __future__ import annotations

import time
from typing import Any

import typer


def command(
    metrics: str | None = typer.Option(
        None, "--metrics", help="Addresses of metrics, by commas [default: 127.0.0.1:9400]"
    ),
    kafka: str | None = typer.Option(
        None, "--kafka", help="Brokers, for the alerts [default: 127.0.0.1:9092]"
    ),
    interval: float | None = typer.Option(None, "--interval", help="Seconds between two looks [default: 1]"),
    looks: int = typer.Option(0, "--looks", help="End after so many; 0: never"),
) -> None:
    """Show rates, lag, freshness, score latency and the latest alerts, until Ctrl-C.

    Lanes answer on the port that --metrics-port names; the API's address may stand beside theirs.
    """
    from rich.console import Console
    from rich.live import Live

    from tidemark.watch.alerts import Alerts
    from tidemark.watch.scrape import Between, look
    from tidemark.watch.screen import Past, screen
    from tidemark.watch.settings import WatchSettings

    given: dict[str, Any] = {"watch": metrics, "bootstrap": kafka, "watch_interval": interval}
    settings = WatchSettings(**{name: value for name, value in given.items() if value is not None})
    past, before, seen = Past(), look(settings.addresses, time.monotonic()), 0
    console = Console()
    try:
        with (
            Alerts(settings.bootstrap, settings.alerts_topic) as alerts,
            Live(console=console, auto_refresh=False, screen=console.is_terminal) as live,
        ):
            while not looks or seen < looks:
                time.sleep(settings.watch_interval)
                now = look(settings.addresses, time.monotonic())
                shown = screen(Between(before, now), alerts.last(10), alerts.trouble, past)
                live.update(shown, refresh=True)
                before, seen = now, seen + 1
    except KeyboardInterrupt:
        return
