"""The shipped repo on topics of a test's own: events sent, online lane and scoring lane run, scores read."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from feast import FeatureStore
from lane_world import Message, read_topic, send

from generators import Population, Scenario, Simulation
from generators.hostile import Hostility, Saboteur
from serving.scoring import services
from serving.scoring.lane import ScoringLane
from serving.scoring.rings import Limits
from serving.scoring.scorer import Scorer
from serving.scoring.settings import ScoringSettings
from streaming.checkpoint import Checkpoint
from streaming.lanes.online import OnlineLane
from streaming.plan import Plan
from streaming.prepare import Preparer
from streaming.redis.bulk import Bulk
from streaming.redis.target import RedisTarget
from streaming.settings import LaneSettings

SIMULATION = Simulation(Scenario(seed=4, rate=50.0, population=Population(users=12, devices=6)))
CALM = Hostility()


@dataclass
class ScoreWorld:
    """`plan` is the shipped one on topics of its own; `settings` are those of a scoring lane on it."""

    repo: Path
    kafka: str
    plan: Plan
    folder: Path
    spark: Any
    settings: ScoringSettings
    sent: list[Message] = field(default_factory=list)

    @classmethod
    def make(
        cls,
        repo: Path,
        kafka: str,
        plan: Plan,
        folder: Path,
        spark: Any,
        topic: Callable[..., str],
        partitions: int = 1,
    ) -> ScoreWorld:
        sources = tuple(
            replace(s, topic=topic(partitions, s.topic), bootstrap_servers=kafka) for s in plan.sources
        )
        settings = ScoringSettings(
            scoring_group=topic(1, "group"),
            scores_topic=topic(2, "scores"),
            alerts_topic=topic(1, "alerts"),
            updates_topic=topic(2, "updates"),
            backoff_seconds=0.5,
        )
        return cls(repo, kafka, replace(plan, sources=sources), folder, spark, settings)

    def topic(self, name: str) -> str:
        return next(s.topic for s in self.plan.sources if s.name == f"{name}_stream")

    def events(self, name: str, count: int, start: int, hostility: Hostility = CALM) -> list[bytes | None]:
        """Events of few entities from `start` (ms) on, one every 20 ms; hostile ones as `hostility` says."""
        saboteur = Saboteur(4, name, hostility)
        at = SIMULATION.times(name, start, 0, count) - saboteur.delay(np.arange(count))
        return [*saboteur.messages(SIMULATION.events(name, 0, at), count)[1], *saboteur.rest()[1]]

    def send(self, name: str, values: Sequence[bytes | None], partition: int = 0) -> list[Message]:
        stored = send(self.kafka, [(self.topic(name), partition, value) for value in values])
        self.sent += stored
        return stored

    def online(self, views: Sequence[str] | None = None) -> None:
        """Run the online lane until it has caught up."""
        plan = (
            self.plan
            if views is None
            else replace(self.plan, views=tuple(v for v in self.plan.views if v.name in views))
        )
        settings = LaneSettings(
            updates=False,
            partitions=2,
            updates_topic=self.settings.updates_topic,
            dead_letter_topic=self.settings.alerts_topic,
        )
        OnlineLane(plan, Checkpoint(str(self.folder / "online")), settings, self.spark).run(
            until_caught_up=True
        )

    def scorer(self, clock: Callable[[], int] | None = None, limits: Limits | None = None) -> Scorer:
        held = services.load(FeatureStore(repo_path=str(self.repo)), self.plan)
        target = RedisTarget(self.plan.redis, timeout=5)
        return Scorer(
            self.plan, held, lambda: Bulk(target), clock or (lambda: int(time.time() * 1000)), limits
        )

    def lane(
        self, lines: list[dict[str, Any]] | None = None, preparer: Preparer | None = None, **changes: Any
    ) -> ScoringLane:
        scorer = self.scorer(limits=changes.pop("limits", None))
        settings = self.settings.model_copy(update=changes)
        preparer = preparer or Preparer(self.plan, self.spark, scorer.fields)
        return ScoringLane(
            self.plan, preparer, scorer, settings, on_line=None if lines is None else lines.append
        )

    def score(self, starting: str = "earliest", **changes: Any) -> list[dict[str, Any]]:
        """Run a scoring lane until it has caught up; its reports."""
        lines: list[dict[str, Any]] = []
        self.lane(lines, **changes).run(starting_offsets=starting, until_caught_up=True)
        return lines

    def scores(self) -> list[dict[str, Any]]:
        return [json.loads(m.value or b"") for m in read_topic(self.kafka, self.settings.scores_topic)]

    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(m.value or b"") for m in read_topic(self.kafka, self.settings.alerts_topic)]

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(m.value or b"") for m in read_topic(self.kafka, self.settings.updates_topic)]


@contextmanager
def running(lane: ScoringLane, starting: str = "earliest") -> Iterator[threading.Thread]:
    """The lane in a thread, stopped at the end as on SIGTERM."""
    thread = threading.Thread(target=lane.run, kwargs={"starting_offsets": starting})
    thread.start()
    try:
        yield thread
    finally:
        lane.stop()
        thread.join(60)
        assert not thread.is_alive()


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def total(lines: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(line[name] for line in lines)
