"""What the demo prints at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding

from tidemark.demo.accounts import Accounts, Sent
from tidemark.demo.place import Place
from tidemark.demo.probe import quantile
from tidemark.demo.recount import Scores
from tidemark.demo.screen import views
from tidemark.services import Endpoints


def accounts(console: Console, held: Accounts, sent: Mapping[str, Sent], late: int, letters: int) -> None:
    """The counts, by view and by source."""
    heading(console, "every message accounted for")
    console.print(Padding(views(held, closing=True), (0, 2), expand=False))
    for source, made in sent.items():
        spoiled = sum(made.malformed.values())
        good = made.messages - made.duplicates - spoiled
        console.print(
            f"  {source}: {made.messages:,} sent = {good:,} good + {made.duplicates:,} duplicates "
            f"+ {spoiled:,} malformed ({', '.join(f'{n:,} {kind}' for kind, n in made.malformed.items())})",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"  {late:,} events were 1 s to 10 min late; `late` above are those behind the sources' watermark of "
        f"2 min, which are used all the same. Dead letters: {letters:,} in topic dead-letter, with the reason.",
        highlight=False,
        soft_wrap=True,
    )


def freshness(
    console: Console, samples: Sequence[float], before: Sequence[float], seconds: float, rate: float
) -> None:
    """Quantiles of the probes made in the measured time; `before` are those made while warming up."""
    heading(console, "freshness: event made -> readable through Feast")
    p50, p95 = quantile(list(samples), 0.5), quantile(list(samples), 0.95)
    if p50 is None or p95 is None:
        last = f", the one before took {1000 * before[-1]:,.0f} ms" if before else ""
        console.print(
            f"  no probe was made in {seconds:.0f} s{last}: give it more --seconds", highlight=False
        )
        return
    few = "; too few to mean much, give it more --seconds" if len(samples) < 20 else ""
    console.print(
        f"  p50 {1000 * p50:,.0f} ms, p95 {1000 * p95:,.0f} ms, longest {1000 * max(samples):,.0f} ms "
        f"({len(samples)} measured over {seconds:.0f} s at {rate:,.0f} events/s{few})",
        highlight=False,
        soft_wrap=True,
    )


def scores(console: Console, held: Scores, rate: float) -> None:
    """How many events were scored, how soon, and the gravest alerts."""
    heading(console, "scores: every good event, with features that include it")
    times = [quantile(held.latencies, share) for share in (0.5, 0.95, 0.99)]
    soon = ", ".join(
        f"p{p} {1000 * t:,.0f} ms" for p, t in zip((50, 95, 99), times, strict=True) if t is not None
    )
    counts = ", ".join(f"{n:,} {source.removesuffix('_stream')}" for source, n in sorted(held.scored.items()))
    for line in (
        f"{counts}; {held.inexact:,} of them inexact, {held.repeated:,} sent again after a restart",
        f"event in Kafka -> score in Kafka: {soon or 'none'} ({len(held.latencies):,} events at {rate:,.0f} a second, "
        "beside the online lane)",
        f"{len(held.alerts):,} alerts; the gravest:",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    for alert in sorted(held.alerts, key=lambda a: -(a.risk_score or 0))[:3]:
        console.print(
            f"    {alert.event_type} of {alert.entity_id}: {alert.alert_level}, score {alert.risk_score or 0:.3f}",
            highlight=False,
            soft_wrap=True,
        )


def commands(place: Place | None, endpoints: Endpoints, entity: Mapping[str, str], bin: Path) -> list[str]:
    """What to try next: on what `--keep` left running, or from the beginning."""
    if place is None:
        return ["make demo ARGS=--keep"]
    repo, services, tidemark = place.repo, place.services, bin / "tidemark"
    named = " ".join(f"--entity {key}={value}" for key, value in entity.items())
    return [
        f"{tidemark} features get --repo {repo} --service transaction_risk {named}",
        f"{tidemark} produce --bootstrap {endpoints.kafka} --throughput 2000 --events 20000",
        f"{tidemark} stream online --repo {repo} --checkpoint {place.dir / 'checkpoint'} --until-caught-up",
        f"{tidemark} topics list --bootstrap {endpoints.kafka}",
        f"{tidemark} plan --repo {repo} --no-udfs",
        f"{tidemark} services stop --dir {services}",
    ]


def heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]", highlight=False)
