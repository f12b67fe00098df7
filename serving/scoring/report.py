"""What a process of the scoring lane did, second by second: one line, and the same numbers as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from serving.scoring.scorer import Scored, Scorer
from streaming import metrics
from streaming.plan import Plan
from streaming.prepare import Prepared

EVERY = 1.0
OBSERVED = 16
"""Latencies of a batch that go to the metric; the line has them all."""


@cache
def _of(service: str) -> tuple[Any, ...]:
    """The metrics of a service, which are there from its first score on."""
    scored, alerts = metrics.SCORED, metrics.ALERTS
    return (
        scored.labels(service, "exact"),
        scored.labels(service, "inexact"),
        alerts.labels(service, "sent"),
        alerts.labels(service, "left_out"),
    )


class Report:
    """Counts since the last line; `clock` is the time in seconds."""

    def __init__(
        self,
        plan: Plan,
        scorer: Scorer,
        clock: Callable[[], float],
        on_line: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._plan, self._scorer, self._clock, self._on_line = plan, scorer, clock, on_line
        self._counts: Counter[str] = Counter()
        self._quarantined: Counter[str] = Counter()
        self._latencies: list[np.ndarray] = []
        self._said = clock()

    @property
    def due(self) -> bool:
        return self._clock() - self._said >= EVERY

    def count(self, prepared: Prepared, admitted: np.ndarray, copies: np.ndarray, sent: np.ndarray) -> None:
        """A batch: `copies` are among `admitted`, `sent` among the others."""
        bad, kept = np.flatnonzero(prepared.code), admitted[~copies]
        for row in bad.tolist():
            self._quarantined[prepared.reason(row) or ""] += 1
        outcomes = {
            "quarantined": bad,
            "duplicate": admitted[copies],
            "scored": kept[sent],
            "reread": kept[~sent],
        }
        self._counts["read"] += len(prepared)
        self._counts["duplicates"] += len(outcomes["duplicate"])
        self._counts["reread"] += len(outcomes["reread"])
        for outcome, rows in outcomes.items():
            for number, count in Counter(prepared.source[rows].tolist()).items():
                if number >= 0:
                    metrics.SCORING.labels(self._plan.sources[number].name, outcome).inc(count)

    def scored(self, scored: Scored, alerts: int, left_out: int) -> None:
        """Scores of one service, and the alerts they raised or would have raised but for the pause."""
        exact = int(np.count_nonzero(scored.exact))
        counts = (exact, len(scored.rows) - exact, alerts, left_out)
        self._counts["scored"] += len(scored.rows)
        for name, count in zip(("inexact", "alerts", "alerts_left_out"), counts[1:], strict=True):
            self._counts[name] += count
        for metric, count in zip(_of(scored.service.name), counts, strict=True):
            if count:
                metric.inc(count)

    def late(self, source: str, count: int) -> None:
        """Events behind their source's watermark."""
        self._counts["late"] += count
        metrics.SCORING_LATE.labels(source).inc(count)

    def delivered(self, arrived: np.ndarray) -> None:
        """Scores of messages that arrived then (ms) are in Kafka now."""
        if not len(arrived):
            return
        latencies = np.maximum(self._clock() - arrived / 1000, 0.0)
        self._latencies.append(latencies)
        for latency in latencies[:: max(len(latencies) // OBSERVED, 1)].tolist():
            metrics.SCORE_LATENCY.observe(latency)

    def say(self, lag: int) -> None:
        """End the line."""
        now = self._clock()
        held = self._scorer.held
        metrics.SCORING_LAG.set(lag)
        for view, entities in held.items():
            metrics.SCORING_HELD.labels(view).set(entities)
        names = ("read", "scored", "inexact", "late", "duplicates", "reread", "alerts", "alerts_left_out")
        line: dict[str, Any] = {"at": round(now, 3), "seconds": round(now - self._said, 3)}
        line |= {name: self._counts[name] for name in names}
        line |= {"quarantined": dict(self._quarantined), "lag": lag, "held": held}
        if self._latencies:
            all_ = np.concatenate(self._latencies)
            line |= {f"p{q}": round(float(np.quantile(all_, q / 100)), 4) for q in (50, 95, 99)}
        self._counts.clear()
        self._quarantined.clear()
        self._latencies.clear()
        self._said = now
        if self._on_line:
            self._on_line(line)
