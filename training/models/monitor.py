"""A model in use, watched: drift of its scores at once, its quality as labels arrive."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from training.models import metrics
from training.models.card import Card
from training.models.measures import psi

SLOTS = 24


@dataclass(frozen=True)
class Watching:
    """How to watch: scores of the last `seconds`, labels for the last `remembered` events, the newest `labelled` of them."""

    seconds: float = 86_400.0
    remembered: int = 200_000
    labelled: int = 50_000

    def of(self, card: Card, clock: Callable[[], float]) -> Monitor:
        """A monitor; `clock` gives seconds."""
        return Monitor(card, clock, self)


class Monitor:
    """Feeds `training.models.metrics`. Not for use by several threads at once."""

    def __init__(self, card: Card, clock: Callable[[], float], watching: Watching | None = None) -> None:
        self.card, self.clock, self.watching = card, clock, watching or Watching()
        self._edges = np.array(card.scores.edges)
        self._counts: OrderedDict[int, np.ndarray] = OrderedDict()
        """By slot of time: rows in each bin, and the sum of probabilities."""
        self._scored: OrderedDict[str, float] = OrderedDict()
        self._known: deque[tuple[float, bool]] = deque(maxlen=self.watching.labelled)
        self._names = card.name, card.version

    def scored(self, ids: Sequence[str], probability: np.ndarray) -> None:
        """Events were scored. `ids` are those by which their labels will come."""
        slot = int(self.clock() / self.watching.seconds * SLOTS)
        bins = len(self._edges) + 1
        counts = self._counts.setdefault(slot, np.zeros(bins + 1))
        counts[:bins] += np.bincount(np.searchsorted(self._edges, probability, side="right"), minlength=bins)
        counts[bins] += probability.sum()
        while next(iter(self._counts)) <= slot - SLOTS:
            self._counts.popitem(last=False)
        self._scored.update(zip(ids, probability.tolist(), strict=True))
        while len(self._scored) > self.watching.remembered:
            self._scored.popitem(last=False)
        metrics.SCORED.labels(*self._names).inc(len(probability))
        drift, mean = self.drift, self.mean
        if drift is not None and mean is not None:
            metrics.PSI.labels(*self._names).set(drift)
            metrics.MEAN.labels(*self._names).set(mean)

    def labelled(self, ids: Sequence[str], labels: Sequence[bool]) -> int:
        """Labels have arrived; returns how many were of events that are remembered. A label counts once."""
        found = 0
        for id_, label in zip(ids, labels, strict=True):
            score = self._scored.pop(id_, None)
            if score is None:
                continue
            self._known.append((score, bool(label)))
            metrics.LABELLED.labels(*self._names, str(bool(label)).lower()).inc()
            found += 1
        metrics.UNKNOWN.labels(*self._names).inc(len(ids) - found)
        if found:
            self._measure()
        return found

    @property
    def drift(self) -> float | None:
        """PSI of the recent probabilities, None without any."""
        total = self._total()
        return None if total is None else psi(self.card.scores, total[:-1])

    @property
    def mean(self) -> float | None:
        """Mean of the recent probabilities, None without any."""
        total = self._total()
        return None if total is None else float(total[-1] / total[:-1].sum())

    def _total(self) -> np.ndarray | None:
        total = sum(self._counts.values(), np.zeros(len(self._edges) + 2))
        return total if total[:-1].sum() else None

    def _measure(self) -> None:
        score, label = (np.array(column) for column in zip(*self._known, strict=True))
        alerted = score >= self.card.model.threshold
        metrics.CALIBRATION.labels(*self._names).set(label.mean() / max(score.mean(), 1e-12))
        if alerted.any():
            metrics.PRECISION.labels(*self._names).set(label[alerted].mean())
        if label.any():
            metrics.PR_AUC.labels(*self._names).set(average_precision_score(label, score))
            metrics.RECALL.labels(*self._names).set(alerted[label].mean())
