"""From a probability to a decision: the original's fixed threshold, and the one that costs least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ORIGINAL = 0.25


@dataclass(frozen=True)
class Costs:
    """Dollars: a false alarm costs `alarm`, a fraud that passes its amount and `fraud`."""

    alarm: float
    fraud: float

    def of(self, label: np.ndarray, amount: np.ndarray, weight: np.ndarray, alarmed: np.ndarray) -> float:
        """What the decisions `alarmed` cost altogether."""
        missed = weight * label * ~alarmed * (amount + self.fraud)
        return float(np.sum(missed) + self.alarm * np.sum(weight * ~label * alarmed))

    def curve(
        self, label: np.ndarray, amount: np.ndarray, weight: np.ndarray, probability: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(thresholds, cost of alarming at or above each), for every probability that occurs, and above all."""
        order = np.argsort(-probability, kind="stable")
        values = probability[order]
        saved = (weight * label * (amount + self.fraud))[order]
        spent = (weight * ~label)[order] * self.alarm
        total = saved.sum() - np.cumsum(saved) + np.cumsum(spent)
        last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
        return np.append(np.inf, values[last]), np.append(saved.sum(), total[last])

    def cheapest(
        self, label: np.ndarray, amount: np.ndarray, weight: np.ndarray, probability: np.ndarray
    ) -> float:
        """The threshold that costs least."""
        thresholds, costs = self.curve(label, amount, weight, probability)
        return float(thresholds[np.argmin(costs)])


@dataclass(frozen=True)
class Decision:
    """A threshold on some period: alarms a day, their precision, the share of frauds found, dollars lost a day."""

    name: str
    threshold: float
    alarms: float
    precision: float
    recall: float
    cost: float


def decide(
    name: str,
    threshold: float,
    costs: Costs,
    days: float,
    label: np.ndarray,
    amount: np.ndarray,
    weight: np.ndarray,
    probability: np.ndarray,
) -> Decision:
    """What a threshold does."""
    alarmed = probability >= threshold
    alarms, hits = float(np.sum(weight * alarmed)), float(np.sum(weight * alarmed * label))
    cost = costs.of(label, amount, weight, alarmed)
    found = hits / float(np.sum(weight * label))
    return Decision(name, threshold, alarms / days, hits / alarms if alarms else 0.0, found, cost / days)
