"""The whole example on this machine: data, features, streams, decisions, latencies; a table and a picture."""

from __future__ import annotations

import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console

from examples.underwriting import setup_data, traffic
from examples.underwriting.script import run
from examples.underwriting.system import System
from tidemark.settings import local_settings


def main(
    num_customers: int = typer.Option(1_000, "--num-customers", help="Customers of the shared population"),
    out: Path = typer.Option(Path("var/underwriting"), "--out", help="Where the table and the picture go"),
    keep: bool = typer.Option(False, "--keep", help="Leave data and logs where they were made"),
) -> None:
    """Run the example from data to decisions."""
    from examples.underwriting.history.tables import Tables

    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {text}")

    parent = local_settings().services_dir.parent / "underwriting"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    system = System(folder, say)
    tables = Tables(setup_data.world(num_customers, 0, None))
    with system.services() as endpoints:
        say(f"Kafka {endpoints.kafka}, Redis {endpoints.redis}")
        setup_data.write([*tables, *setup_data.stream_pasts(tables)], system.data, lambda _: None)
        say("tables written")
        system.apply()
        say("feast apply")
        with system.lane() as lane:
            past = system.materialize(datetime.now(UTC))
            sent = traffic.send(endpoints.kafka, traffic.CLAIMS, traffic.claims(tables))
            sent += traffic.send(endpoints.kafka, traffic.PAYMENTS, traffic.payments(tables))
            say(f"{sent} events sent")
            system.finished(past, "materialize-incremental")
            say("materialized")
            system.caught_up(lane, sent)
            say("caught up")
            with system.server() as client:
                say(f"feast serve {client.url}")
                from examples.underwriting.questions import COLUMNS, Questions

                q = Questions(system.data)
                for service in COLUMNS:
                    a = client.ask(service, q.entities(service, 20))
                    n = sum(map(sum, a.known.values()))
                    say(f"{service} {len(a.values)} features, {n}/{20 * len(a.values)}")
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run(main)
