"""The producer: `tidemark produce`, the same as `python -m generators.producer`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from generators.contracts import STREAMS
from generators.delivery import KafkaSettings
from generators.display import Display, closing
from generators.hostile import Hostility
from generators.population import Population
from generators.run import Run
from generators.scenario import DEFAULT_MIX, FraudRates, Scenario
from generators.tally import report
from generators.workers import carry_out
from streaming.errors import TidemarkError
from tidemark.settings import local_settings

_SHARE = {"min": 0, "max": 1, "metavar": "P"}


def produce(
    throughput: Annotated[float, typer.Option(min=0.001, help="Events a second, all streams")] = 5_000,
    duration: Annotated[float | None, typer.Option(min=0, help="Seconds [default: until Ctrl-C]")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Stop after this many")] = None,
    unpaced: Annotated[bool, typer.Option("--unpaced", help="As fast as the broker takes them")] = False,
    streams: Annotated[str, typer.Option(help="Which, by commas")] = ",".join(DEFAULT_MIX),
    mix: Annotated[str | None, typer.Option(help="Shares, such as transactions=40,claims=35,iot=25")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same events")] = 0,
    late: Annotated[float, typer.Option(**_SHARE, help="Share of late events")] = 0,
    duplicates: Annotated[float, typer.Option(**_SHARE, help="Share of events sent twice")] = 0,
    malformed: Annotated[float, typer.Option(**_SHARE, help="Share of messages that break the contract")] = 0,
    start_time: Annotated[
        str | None, typer.Option(help="History from this time on, ISO 8601 [default: now, live]")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.001, help="With --start-time: seconds of history a second")
    ] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share the entities")] = 1,
    bootstrap: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The broker [default: TIDEMARK_BOOTSTRAP]")
    ] = None,
    acks: Annotated[str, typer.Option(help="all (idempotent), 1 or 0")] = "all",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds an acknowledgement may take")] = 30,
    batch_kb: Annotated[int, typer.Option(min=1, max=900, help="Size of a batch before compression")] = 64,
    topic: Annotated[list[str] | None, typer.Option(metavar="STREAM=TOPIC", help="Another topic")] = None,
    users: Annotated[int, typer.Option(min=1, help="Users of the population")] = Population.users,
    devices: Annotated[int, typer.Option(min=1, help="Devices of the population")] = Population.devices,
    merchants: Annotated[int, typer.Option(min=1, help="Merchants of the population")] = Population.merchants,
    providers: Annotated[int, typer.Option(min=1, help="Providers of the population")] = Population.providers,
    zipf: Annotated[float, typer.Option(min=0, help="Skew of activity, 0 is uniform")] = Population.zipf,
    hot_share: Annotated[float, typer.Option(**_SHARE, help="Share of events of the busiest entity")] = 0,
    fraud: Annotated[list[str] | None, typer.Option(metavar="SCHEME=P", help="Share of a scheme")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the closing report as JSON")] = False,
) -> None:
    """Send realistic claims, transactions and telemetry to Kafka.

    Exits with 1 when any event was not delivered. Ctrl-C stops and waits for what was sent.
    """
    if acks not in {"all", "1", "0"}:
        raise TidemarkError(f"--acks {acks}: write all, 1 or 0")
    shares = _mix(streams, mix)
    try:
        scenario = Scenario(
            seed=seed,
            rate=throughput / (speed if start_time else 1),
            mix=shares,
            fraud=FraudRates(**_numbers("--fraud", fraud or [], [f.name for f in fields(FraudRates)])),
            population=Population(seed, users, merchants, providers, devices, zipf, hot_share),
        )
        hostility = Hostility(late, duplicates, malformed)
    except ValueError as wrong:
        raise TidemarkError(str(wrong)) from None
    run = Run(
        kafka=KafkaSettings(bootstrap or local_settings().bootstrap, acks, timeout, batch_kb),
        scenario=scenario,
        throughput=None if unpaced else throughput,
        events=events,
        duration=duration,
        start_time=_instant(start_time) if start_time else None,
        hostility=hostility,
        topics=_pairs("--topic", topic or [], STREAMS),
    )
    console = Console(stderr=as_json)
    with Display(console, run.throughput) as display:
        tally = carry_out(run, processes, display.show)
    outcome = report(tally)
    if as_json:
        sys.stdout.write(json.dumps(outcome) + "\n")
    else:
        closing(console, outcome)
    if tally.acked < tally.sent:
        raise TidemarkError(
            f"{tally.sent - tally.acked:,} of {tally.sent:,} events were not delivered "
            f"({', '.join(tally.failures)}): see that the broker runs and send them again with the same --seed"
        )


def _pairs(option: str, given: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    pairs, known = dict(text.partition("=")[::2] for text in given), list(known)
    for name, value in pairs.items():
        if name not in known or not value:
            raise TidemarkError(
                f"{option} {name}={value}: write NAME=VALUE with a name of {', '.join(known)}"
            )
    return pairs


def _numbers(option: str, given: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in _pairs(option, given, known).items()}
    except ValueError as wrong:
        raise TidemarkError(f"{option}: {wrong}; write a number") from None


def _mix(streams: str, mix: str | None) -> dict[str, float]:
    chosen = [name.strip() for name in streams.split(",")]
    shares = _numbers("--mix", mix.split(","), list(STREAMS)) if mix else dict(DEFAULT_MIX)
    unknown = [name for name in chosen if name not in STREAMS]
    if unknown:
        raise TidemarkError(f"--streams {unknown[0]}: choose from {', '.join(STREAMS)}")
    return {name: shares[name] for name in chosen if shares.get(name)}


def _instant(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TidemarkError(f"--start-time {text}: write a time such as 2026-03-01T00:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def main() -> None:
    """Runs the command; an error is one line and exit code 1."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(produce)
    try:
        app()
    except TidemarkError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
