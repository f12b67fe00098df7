"""Scores of events that callers send: prepared as the online lane prepares them, with features that include the event.

Spark's expressions run in a small JVM of this process, which takes some seconds to start; until then, and
where no service scores a stream, asking for a score is answered with the reason.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from feast import FeatureStore

from serving import moment
from serving.api import columns
from serving.api.problems import Problem
from serving.scoring import services
from serving.scoring.columns import plain
from serving.scoring.job import models_of
from serving.scoring.models import Models
from serving.scoring.rings import Limits
from serving.scoring.scorer import Scored, Scorer
from serving.scoring.services import Service
from streaming import definitions, garbage
from streaming.errors import DefinitionError
from streaming.expressions import Message
from streaming.plan import Plan
from streaming.prepare import Prepared, Preparer
from streaming.redis.bulk import Bulk, RedisTarget

logger = logging.getLogger(__name__)

UNSENT = 10**14 - 1
"""Offset of an event that is in no topic: the highest there can be, so it comes after all that are."""
STARTING = "the scorer starts: ask again in some seconds"
SHARE = "_share"
MOST = 3
"""Reasons of a score, at most."""


class EventScorer:
    """Scores events of one repo. `spark` starts a session; `clock` is now, in ms. One call at a time works."""

    def __init__(
        self,
        store: FeatureStore,
        plan: Plan,
        target: RedisTarget,
        spark: Callable[[], Any],
        clock: Callable[[], int] = moment.wall_clock,
    ) -> None:
        self.services: dict[str, Service] = {}
        self.trouble = STARTING
        try:
            # No ring is kept from one request to the next: another process advances them.
            loaded = [replace(service, keyed=frozenset()) for service in services.load(store, plan)]
            self.services = {service.source: service for service in loaded}
        except DefinitionError as error:
            self.trouble = str(error)
        self._store, self._target, self._spark, self._clock = store, target, spark, clock
        self._lock = threading.Lock()
        self._preparer: Preparer | None = None
        self._scorer: Scorer | None = None
        self._models: Models | None = None
        self._thread = threading.Thread(target=self._start, name="scorer", daemon=True)

    def start(self) -> None:
        """Begin to start; returns at once."""
        if self.services:
            self._thread.start()

    def close(self) -> None:
        """Let go of the JVM's files and of Redis."""
        with self._lock:
            if self._preparer is not None:
                self._preparer.close()
            if self._scorer is not None:
                self._scorer.close()
            self._preparer = self._scorer = None
            self.trouble = "the API ends"

    def _start(self) -> None:
        try:
            session = self._spark()
            plan = definitions.load(self._store, None, session)
            found = list(self.services.values())
            limits = Limits(memory=0, recent=0, fresh=0)
            scorer = Scorer(plan, found, lambda: Bulk(self._target), self._clock, limits)
            preparer = Preparer(plan, session, scorer.fields)
            models = models_of(self._store, plan, scorer)
        except Exception as error:
            self.trouble = f"the scorer did not start: {' '.join(str(error).split())[:300]}"
            logger.exception("the scorer did not start")
            return
        with self._lock:
            self._preparer, self._scorer, self._models = preparer, scorer, models
            self.trouble = ""
        garbage.spare(thoroughly=True)

    def source(self, name: str) -> str:
        """The source that a stream of the address means: `claims` is claims_stream. Raises Problem 404."""
        for source in self.services:
            if name in (source, source.removesuffix("_stream")):
                return source
        known = ", ".join(sorted(source.removesuffix("_stream") for source in self.services))
        raise Problem(
            404, f"nothing scores {name[:60]}: " + (f"choose from {known}" if known else self.trouble)
        )

    def score(self, source: str, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What is known of each event, each by itself. Raises Problem for one that is not admitted, TidemarkError."""
        with self._lock:
            if self._preparer is None or self._scorer is None or self._models is None:
                raise Problem(503, self.trouble)
            now = self._clock()
            topic = next(s.topic for s in self._preparer.plan.sources if s.name == source)
            encode = msgspec.json.encode
            prepared = self._preparer.prepare(
                [Message(topic, 0, UNSENT - len(events) + i, now, encode(e)) for i, e in enumerate(events)]
            )
            refused = [
                {"event": row, "why": prepared.reason(row)} for row in np.flatnonzero(prepared.code).tolist()
            ]
            if refused:
                first = refused[0]
                raise Problem(422, f"event {first['event']}: {first['why']}", errors=refused[:20])
            (scored,) = self._scorer.score(prepared, np.arange(len(events)))
            said = self._models.of(prepared, scored)
        return _answers(prepared, scored, self.services[source], said)


def _answers(
    prepared: Prepared, scored: Scored, service: Service, said: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    outputs = {name: plain(dtype, scored.scores[name]) for name, dtype in service.outputs.items()}
    score = plain("DOUBLE", scored.score)
    features: dict[str, list[Any]] = {}
    withheld: dict[str, np.ndarray] = {}
    for name, served in scored.views.items():
        features |= {f"{name}__{f}": columns.column(c) for f, c in served.columns.items()}
        withheld |= {f"{name}__{f}": rows for f, rows in served.withheld.items()}
    found = []
    for row in range(len(scored.rows)):
        scores = {name: values[row] for name, values in outputs.items()}
        found.append(
            {
                "event_id": prepared.event_ids[row],
                "timestamp": moment.text(int(prepared.time[row])),
                "source": service.source,
                "service": service.name,
                "score": score[row],
                "score_name": service.score,
                "reasons": reasons(scores),
                "model": _model(said, row),
                "scores": scores,
                "features": {name: values[row] for name, values in features.items()},
                "incomplete": [name for name, rows in withheld.items() if rows[row]],
            }
        )
    return found


def _model(said: Mapping[str, np.ndarray], row: int) -> dict[str, Any] | None:
    """What the promoted model says, if there is one."""
    for named, probability in said.items():
        name, _, version = named.rpartition("/")
        value = float(probability[row])
        return {"name": name, "version": version, "probability": value if math.isfinite(value) else None}
    return None


def reasons(scores: Mapping[str, Any], most: int = MOST) -> list[dict[str, Any]]:
    """The components that make up most of a score, from outputs called COMPONENT_share; the largest first."""
    shares = [
        (name.removesuffix(SHARE), share)
        for name, share in scores.items()
        if name.endswith(SHARE) and isinstance(share, float) and share > 0
    ]
    ranked = sorted(shares, key=lambda pair: -pair[1])[:most]
    return [{"component": name, "share": share} for name, share in ranked]
