"""The scoring lane beside the online lane in one process, and its scores as they come."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from feast import FeatureStore

from examples.card_fraud.settings import MODEL
from serving.scoring.contracts import RiskScore
from streaming.errors import ServiceError
from training.models import current

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.plan import Plan

TOPIC, SERVICE = "risk-scores", "card_scoring"
PATIENCE = 60


class Scoring:
    """`tidemark stream scores` in a thread, with the models below `models`; reads the topic risk-scores."""

    def __init__(self, repo: Path, plan: Plan, spark: SparkSession, models: Path) -> None:
        from serving.scoring.job import scorer_of
        from serving.scoring.lane import ScoringLane
        from serving.scoring.models import Models
        from serving.scoring.settings import ScoringSettings
        from streaming.prepare import Preparer

        settings = ScoringSettings.model_validate({"updates": False, "scoring_reread": 0})
        scorer = scorer_of(FeatureStore(repo_path=str(repo)), plan, settings)
        found = Models({SERVICE: partial(current, models, MODEL, plan)}, time.time)
        self._lane = ScoringLane(plan, Preparer(plan, spark, scorer.fields), scorer, settings, found)
        self._error: Exception | None = None
        self._held: dict[str, RiskScore] = {}
        self._consumer = Consumer(
            {"bootstrap.servers": self._lane.bootstrap, "group.id": "card-fraud", "enable.auto.commit": False}
        )
        partitions = self._consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        self._consumer.assign([TopicPartition(TOPIC, number, OFFSET_END) for number in partitions])
        self._thread = threading.Thread(target=self._run, name="scoring-lane", daemon=True)

    def __enter__(self) -> Scoring:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lane.stop()
        self._thread.join(60)
        self._consumer.close()

    def of(self, tid: str, seconds: float = PATIENCE) -> RiskScore | None:
        """The score of a payment, None when it does not come within `seconds`. Raises what ended the lane."""
        late = time.monotonic() + seconds
        while tid not in self._held and time.monotonic() < late:
            if self._error:
                raise self._error
            message = self._consumer.poll(0.05)
            if message is not None and not message.error():
                score = msgspec.json.decode(message.value(), type=RiskScore)
                self._held[score.event_id or ""] = score
        return self._held.get(tid)

    def wanted(self, tid: str) -> RiskScore:
        """The score of a payment. Raises ServiceError when it does not come."""
        found = self.of(tid)
        if found is None:
            raise ServiceError(
                f"the scoring lane has not scored payment {tid} within {PATIENCE} s: try again on a quieter machine"
            )
        return found

    def _run(self) -> None:
        try:
            self._lane.run(starting_offsets="latest")
        except Exception as error:
            self._error = error
