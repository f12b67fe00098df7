"""tidemark bench: measure the engine, beside its peer in the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from streaming.errors import TidemarkError

app = typer.Typer(no_args_is_help=True, help="Measure the engine beside its peers, on this machine.")
JSON = typer.Option(False, "--json", help="Print one JSON object")


@app.command()
def drain(
    events: int = typer.Option(3_000_000, help="Backlog to work off"),
    history: int = typer.Option(
        1_000_000, help="Events of the past 7 days in the rings beforehand; 0: empty rings"
    ),
    mix: bool = typer.Option(False, "--mix", help="All three streams through all views"),
    user_alone: bool = typer.Option(
        False, "--user-alone", help="The users' view alone, without deduplication"
    ),
    updates: bool = typer.Option(False, "--updates", help="Also send features to feature-updates"),
    peer_events: int = typer.Option(20_000, help="Backlog of the peer; 0: without it"),
    as_json: bool = JSON,
) -> None:
    """Events a second from a Kafka backlog into rings."""
    from benchmarks import drain as bench

    found = bench.run(
        events, history, mix=mix, user_alone=user_alone, updates=updates, peer_events=peer_events
    )
    _show("drain", found, as_json)


@app.command()
def parse(
    messages: int = typer.Option(20_000, help="Different messages of each stream"),
    as_json: bool = JSON,
) -> None:
    """Microseconds to parse a message, beside Spark's from_json."""
    from benchmarks import parse as bench

    _show("parse", bench.run(messages), as_json)


@app.command()
def freshness(
    rate: float = typer.Option(5_000, help="Events a second, all three streams"),
    seconds: float = typer.Option(60, help="How long to measure"),
    warm_up: float = typer.Option(60, help="Seconds before measuring"),
    history: bool = typer.Option(False, "--history", help="Also beside the history lane"),
    as_json: bool = JSON,
) -> None:
    """From an event's making to its being readable through Feast."""
    from benchmarks import freshness as bench

    _show("freshness", bench.run(rate, seconds, warm_up, history=history), as_json)


@app.command()
def soak(
    minutes: float = typer.Option(30, help="How long"),
    rate: float = typer.Option(2_000, help="Events a second, all three streams"),
    as_json: bool = JSON,
) -> None:
    """A fixed rate for long: memory of driver, workers and Redis, reads answered, events delivered."""
    from benchmarks import soak as bench

    _show("soak", bench.run(minutes, rate), as_json)


@app.command()
def overhead(
    rate: float = typer.Option(5_000, help="Events a second, all three streams"),
    seconds: float = typer.Option(60, help="How long to measure"),
    as_json: bool = JSON,
) -> None:
    """What metrics cost of the online lane's processor time."""
    from benchmarks import overhead as bench

    _show("overhead", bench.run(rate, seconds), as_json)


@app.command()
def growth(
    events: int = typer.Option(600_000, help="Backlog to work off"),
    history: int = typer.Option(1_000_000, help="Events of the past 7 days in the rings beforehand"),
    factor: int = typer.Option(10, help="Times the usual users, merchants, providers and devices"),
    as_json: bool = JSON,
) -> None:
    """The same events over more entities: what grows."""
    from benchmarks import growth as bench

    _show("growth", bench.run(events, history, (1, factor)), as_json)


@app.command()
def cluster(
    events: int = typer.Option(1_000_000, help="Backlog to work off, twice"),
    workers: int = typer.Option(2, help="Workers of one core"),
    as_json: bool = JSON,
) -> None:
    """Events a second on a standalone Spark cluster of this machine, beside local mode."""
    from benchmarks import cluster as bench

    _show("cluster", bench.run(events, workers=workers), as_json)


@app.command("redis-writer")
def redis_writer(rows: int = typer.Option(50_000, help="Entities"), as_json: bool = JSON) -> None:
    """Feast's layout and rings into Redis, beside Feast's own writer."""
    from contextlib import ExitStack
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from benchmarks import redis_writer as bench
    from benchmarks.online_read import own_redis

    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        result = bench.run(own_redis(stack, folder), rows)
    if as_json:
        _show("redis-writer", result, as_json)
    else:
        typer.echo(bench.report(result))


@app.command()
def patterns(
    seed: int = typer.Option(2, help="Seed of the simulation; the rules were chosen on 1"),
    as_json: bool = JSON,
) -> None:
    """Precision and recall of anomaly_pattern against the simulation's truth, by device type."""
    from benchmarks import anomaly_patterns as bench

    result = bench.run(seed)
    if as_json:
        _show("patterns", result, as_json)
    else:
        typer.echo(bench.report(result))


@app.command()
def produce(events: int = typer.Option(3_000_000, help="Events to send"), as_json: bool = JSON) -> None:
    """Events a second from one producer process."""
    from benchmarks import produce as bench
    from benchmarks.world import world

    with world() as place:
        _show("produce", bench.run(place.endpoints.kafka, events), as_json)


@app.command()
def read(seconds: float = typer.Option(20.0, help="How long"), as_json: bool = JSON) -> None:
    """Reads through Feast, beside Feast's stock Redis store."""
    from benchmarks import online_read as bench

    _show("online read", bench.run(seconds=seconds), as_json)


@app.command()
def serving(
    batch_sizes: str = typer.Option("1,10,50,100,500", "--batch-sizes", help="Entities a request, by commas"),
    concurrency: int = typer.Option(4, "--concurrency", help="Clients at the same time"),
    num_requests: int = typer.Option(500, "--num-requests", help="Requests of each batch size and server"),
    server_url: str = typer.Option(
        "", "--server-url", help="Measure this server alone [default: ours and Feast's]"
    ),
    feature_service: str = typer.Option("", "--feature-service", help="Read this service"),
    features: str = typer.Option("", "--features", help="Read these references view:feature, by commas"),
    entity_key: str = typer.Option("user_id", "--entity-key", help="Join keys of these, by commas"),
    profile: str = typer.Option(
        "medium", "--profile", help="small, medium, large, with_odfv, by commas, or all"
    ),
    entities: int = typer.Option(1_000, "--entities", help="Entities that requests choose from"),
    output: Path | None = typer.Option(
        None, "--output", help="Write the figures here (JSON), and a plot beside it"
    ),
    as_json: bool = JSON,
) -> None:
    """Features over HTTP: the API beside Feast's server, while the online lane runs."""
    from benchmarks import serving as bench

    sizes = [int(size) for size in batch_sizes.split(",")]
    profiles = list(bench.PROFILES) if profile == "all" else [name.strip() for name in profile.split(",")]
    if unknown := set(profiles) - set(bench.PROFILES):
        raise TidemarkError(
            f"there is no profile {unknown.pop()}: choose from {', '.join(bench.PROFILES)}, all"
        )
    wanted = bench.parse(feature_service, features, entity_key)
    result = bench.run(wanted, sizes, num_requests, concurrency, server_url, profiles, entities)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
        bench.plot(result, output.with_suffix(".png"))
    _show("serving", result, as_json)


@app.command()
def rings(as_json: bool = JSON) -> None:
    """Rings merged a second on one core."""
    from benchmarks import rings as bench

    _show("rings", bench.run(), as_json)


@app.command()
def backfill(
    events: str = typer.Option("1000000,10000000", help="Sizes, separated by commas"),
    hot: float = typer.Option(0.2, help="Share of the events that one user has"),
    as_json: bool = JSON,
) -> None:
    """Events a second from Delta to feature tables in Parquet."""
    from benchmarks import backfill as bench

    _show("backfill", bench.run([int(size) for size in events.split(",")], hot), as_json)


@app.command("training-set")
def training_set(
    labels: int = typer.Option(1_000_000, help="Rows of the training set"),
    events: int = typer.Option(10_000_000, help="Events of the history"),
    peer_labels: int = typer.Option(30_000, help="Rows for the peers; 0: without them"),
    peer_events: int = typer.Option(600_000, help="Events for the peers"),
    hot: float = typer.Option(0.2, help="Share of the events that one user has"),
    patience: float = typer.Option(
        20.0, help="Stop Spark's join at the full size after so many times our time; 0: without it"
    ),
    as_json: bool = JSON,
) -> None:
    """Label rows a second, beside Spark's own joins and Feast's."""
    from benchmarks import training_set as bench

    _show("training-set", bench.run(labels, events, peer_labels, peer_events, hot, patience), as_json)


@app.command()
def models(
    days: int = typer.Option(28, help="Days of history; the last 7 are held out"),
    users: int = typer.Option(3_000, help="Users"),
    a_day: float = typer.Option(2.0, help="Payments of a user a day"),
    seed: int = typer.Option(0, help="Seed of the simulation"),
    as_json: bool = JSON,
) -> None:
    """A model against the rules on days it did not see, and the time of a prediction."""
    from benchmarks import models as bench

    _show("models", bench.run(days, users, a_day, seed), as_json)


@app.command()
def scoring(
    rate: float = typer.Option(2_000, help="Events a second, all three streams"),
    seconds: float = typer.Option(60, help="How long to measure"),
    warm_up: float = typer.Option(60, help="Seconds before measuring"),
    capacity_events: int = typer.Option(300_000, help="Backlog for one process alone; 0: without"),
    parity_vectors: int = typer.Option(4_000, help="Served vectors of each view to compare; 0: without"),
    floor_seconds: float = typer.Option(
        30, help="How long to measure a lane that computes nothing; 0: without"
    ),
    as_json: bool = JSON,
) -> None:
    """From the produce call of an event to its score, beside the online lane; capacity; parity."""
    from benchmarks import scoring as bench

    result = bench.run(rate, seconds, warm_up, capacity_events, parity_vectors, floor_seconds)
    _show("scoring", result, as_json)


def _show(name: str, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result))
        return
    console = Console()
    console.print(f"[bold]{name}[/bold]")
    console.print_json(json.dumps(result))
