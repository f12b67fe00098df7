"""The whole example on this machine: payments, both lanes, the model, what freshness is worth, live predictions."""

from __future__ import annotations

import sys
import time
import warnings
from datetime import UTC, datetime, timedelta

import structlog
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from examples.card_fraud.settings import MODEL, CardSettings
from streaming.errors import TidemarkError
from training.models import ModelSettings, Shelf


def main(
    users: int = typer.Option(0, "--users", help="Users of the shared population [default: 1500]"),
    until: datetime | None = typer.Option(
        None, "--until", help="Day on which the simulated past ends [default: today]"
    ),
    keep: bool = typer.Option(False, "--keep", help="Leave Kafka, Redis, features and model for you to try"),
    clean: bool = typer.Option(
        False, "--clean", help="Remove what --keep left: topics, keys, models, services"
    ),
    publish: bool = typer.Option(
        False, "--publish", help="Write tables and picture into this example's README"
    ),
) -> None:
    """Train on fresh and long aggregates, measure them on two weeks held out, and score payments live."""
    # Feast's, of things that are as they should be; it sets filters of its own when it is imported.
    warnings.filterwarnings("ignore")
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=False
    )
    console = Console(highlight=False, soft_wrap=True)
    settings = CardSettings.model_validate({"users": users} if users else {})
    began = time.monotonic()
    from examples.card_fraud.system import System

    system = System(settings.folder, lambda text: console.print(f"{time.monotonic() - began:6.1f} s  {text}"))
    removed = system.clean()
    if clean:
        console.print(f"removed: {'; '.join(removed) or 'there was nothing'}")
        return
    done = False
    try:
        end = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
        _play(system, settings, end.replace(hour=0, minute=0, second=0, microsecond=0), console, publish)
        done = True
    finally:
        if not (keep and done):
            system.clean()
    if keep:
        repo, models = system.place.repo, system.models
        console.print("\nleft running; to try:")
        for command in (
            f"tidemark models list --models {models}",
            f"tidemark features get --repo {repo} --service card_scoring --entity card_id=CARD000000000",
            "make example-card_fraud ARGS=--clean",
        ):
            console.print(f"  {command}")


def _play(system, settings: CardSettings, until: datetime, console: Console, publish: bool) -> None:
    from examples.card_fraud import delays, learning, payments, report

    made = payments.simulate(settings, until)
    system.say(
        f"{len(made):,} payments made, {made.fraud.sum():,} of them fraud, {until - timedelta(days=settings.days):%Y-%m-%d} to {until:%Y-%m-%d}"
    )
    system.start()
    system.send(made)
    system.say("sent to Kafka")
    with system.spark() as (spark, plan):
        counts = system.remember(spark, plan)
        system.say(
            f"history: {counts['written']:,} payments in Delta, {counts['duplicates']:,} duplicates, {counts['quarantined']:,} malformed"
        )
        with system.online(spark, plan) as lane:
            lane.caught_up(len(made))
            system.say("online: every card's ring is in Redis")
            reader = learning.reader(system.place.repo, spark, system.history)
            learnt = learning.learn(settings, reader, until)
            shelf = Shelf(system.models, MODEL)
            card = learnt.candidate.save(shelf, datetime.now(UTC))
            shelf.promote(card.version, datetime.now(UTC), "the example's")
            system.say(
                f"model {MODEL} {card.version}: PR-AUC {card.model.pr_auc:.3f}, rules {card.rule.pr_auc:.3f}"
            )
            rate = ModelSettings().model_alert_rate
            worth = delays.worth(
                reader, learnt.candidate.fitted, learnt.candidate.period, system.folder, rate
            )
            system.say("features delayed by " + ", ".join(delays.DELAYS))
            scored = _live(system, lane, shelf, learnt, made, plan, spark)
    results = report.Results(settings, len(made), int(made.fraud.sum()), learnt, worth, scored)
    picture = settings.folder.with_name("card_fraud.png")
    results.draw(picture)
    console.print(Markdown(results.markdown()))
    console.print(f"picture: {picture}")
    if publish:
        report.publish(results, picture)


def _live(system, lane, shelf: Shelf, learnt, made, plan, spark) -> list:
    """The demonstration, with four cards of ordinary use."""
    import numpy as np
    from feast import FeatureStore

    from examples.card_fraud.predictions import Demonstration, Predictor, expected, now
    from examples.card_fraud.scoring import Scoring
    from examples.card_fraud.system import TOPIC
    from generators.delivery import Delivery, KafkaSettings

    delivery = Delivery(KafkaSettings(system.endpoints.kafka), [TOPIC])
    week = made.card[made.at >= made.at[-1] - 7 * 86_400_000]
    known, counts = np.unique(week.astype(str), return_counts=True)
    ordinary = known[(counts >= np.quantile(counts, 0.4)) & (counts <= np.quantile(counts, 0.8))]
    model = shelf.current(plan)
    assert model is not None
    predictor = Predictor(
        FeatureStore(repo_path=str(system.place.repo)), model, learnt.decisions[1].threshold
    )
    with Scoring(system.place.repo, plan, spark, system.models) as lane_of_scores:

        def send(tid: str, key: bytes, value: bytes) -> tuple[float, float]:
            delivery.send(TOPIC, [key], [value])
            found = lane_of_scores.wanted(tid)
            lane.caught_up(len(made) + delivery.sent)
            assert found.model is not None
            return found.model.probability, (found.scored - found.arrived).total_seconds()

        # The lane reads from now on, whenever that begins: payments of nobody tell.
        for number in range(60):
            tid = f"begin-{number}"
            delivery.send(TOPIC, [b"nobody"], [now(tid, "nobody", 1.0)])
            if lane_of_scores.of(tid, 1.0):
                break
        scored = list(Demonstration(predictor, send).run([str(card) for card in ordinary[:4]]))
    delivery.close()
    said = expected(scored)
    system.say(
        f"live, at the threshold of least cost: {said['singles']} of 3 single payments flagged, the first rapid one {'is' if said['first'] else 'is not'}, "
        f"{said['others']} of the other {len(scored) - 4} are; {1000 * np.median([one.seconds for one in scored]):.1f} ms each"
    )
    return scored


def _run() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except TidemarkError as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]{escape(' '.join(str(error).split()))}[/red]")
        sys.exit(1)


if __name__ == "__main__":
    _run()
