"""How good a score is: ranking, alerts, calibration. Rows have weights, so that some may have been left out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from sklearn.metrics import average_precision_score

from training.models.card import Ahead, Bin, Histogram, Measures

EDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
BINS = 10


def measure(
    label: np.ndarray, score: np.ndarray, weight: np.ndarray, alert_rate: float, probability: bool = True
) -> Measures:
    """Measures of `score` (any scale, higher is worse) against `label` (bool). Nulls of the score count as lowest."""
    score = np.where(np.isfinite(score), score, -np.inf)
    ranked = np.where(np.isfinite(score), score, np.nanmin(score[np.isfinite(score)], initial=0.0) - 1.0)
    recall, precision, threshold = alerts(label, score, weight, alert_rate)
    bins = calibration(label, score, weight) if probability else ()
    return Measures(
        rows=len(label),
        positives=int(label.sum()),
        rate=float(np.average(label, weights=weight)),
        pr_auc=float(average_precision_score(label, ranked, sample_weight=weight)),
        alert_rate=alert_rate,
        threshold=threshold,
        recall=recall,
        precision=precision,
        brier=float(np.average((score - label) ** 2, weights=weight)) if probability else None,
        calibration_error=sum(b.share * abs(b.predicted - b.true) for b in bins if b.share)
        if probability
        else None,
    )


def alerts(
    label: np.ndarray, score: np.ndarray, weight: np.ndarray, alert_rate: float
) -> tuple[float, float, float]:
    """(recall, precision, threshold) of the `alert_rate` highest scores.

    Of rows that tie at the threshold the part that still fits is taken, as a random choice among them would on average.
    """
    values, where = np.unique(-score, return_inverse=True)
    rows, hits = (np.bincount(where, weights=w) for w in (weight, weight * label))
    upto = np.cumsum(rows)
    budget = alert_rate * upto[-1]
    last = min(int(np.searchsorted(upto, budget)), len(values) - 1)
    part = 1 - (upto[last] - budget) / rows[last]
    found = hits[:last].sum() + part * hits[last]
    return float(found / hits.sum()), float(found / budget), float(-values[last])


def calibration(
    label: np.ndarray, probability: np.ndarray, weight: np.ndarray, edges: tuple[float, ...] = EDGES
) -> tuple[Bin, ...]:
    """Predicted and true rates between `edges`; bins without rows have a share of 0 and no rates."""
    where = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
    bins = []
    for number, (low, high) in enumerate(pairwise(edges)):
        mine = where == number
        held = float(weight[mine].sum())
        bins.append(
            Bin(
                low,
                high,
                held / float(weight.sum()),
                float(np.average(probability[mine], weights=weight[mine])) if held else None,
                float(np.average(label[mine], weights=weight[mine])) if held else None,
            )
        )
    return tuple(bins)


def ahead(
    label: np.ndarray,
    score: np.ndarray,
    other: np.ndarray,
    weight: np.ndarray,
    entity: np.ndarray,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Ahead:
    """How much more PR-AUC `score` has than `other`, over resamples.

    Entities are drawn, with all their rows: rows of one entity belong to the same fraud and say less than others.
    """
    draws = np.random.default_rng(seed)
    _, entity = np.unique(entity, return_inverse=True)
    both = [np.where(np.isfinite(s), s, -1e9) for s in (score, other)]
    ranked = [_Ranking(label, s) for s in both]
    found = []
    for _ in range(resamples):
        times = draws.poisson(1.0, int(entity.max()) + 1)[entity] * weight
        found.append(ranked[0].pr_auc(times) - ranked[1].pr_auc(times))
    low, median, high = np.quantile(found, (0.05, 0.5, 0.95)).tolist()
    return Ahead(low, median, high, float(np.mean(np.array(found) > 0)))


class _Ranking:
    """Average precision of one score under many weights: it is sorted once."""

    def __init__(self, label: np.ndarray, score: np.ndarray) -> None:
        self.order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.diff(score[self.order])) if len(score) else np.zeros(0, np.int64)
        self.ends = np.append(ends, len(score) - 1)
        self.label = label[self.order]

    def pr_auc(self, weight: np.ndarray) -> float:
        weight = weight[self.order]
        rows, hits = np.cumsum(weight)[self.ends], np.cumsum(weight * self.label)[self.ends]
        if not hits[-1]:
            return 0.0
        precision = np.divide(hits, rows, out=np.zeros(len(hits)), where=rows > 0)
        return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])


def histogram(probability: np.ndarray, weight: np.ndarray) -> Histogram:
    """How probabilities are spread over bins of about as many rows each."""
    order = np.argsort(probability)
    upto = np.cumsum(weight[order]) / weight.sum()
    cuts = probability[order][np.searchsorted(upto, np.arange(1, BINS) / BINS)]
    edges = np.unique(cuts)
    shares = np.bincount(np.searchsorted(edges, probability, side="right"), weight, len(edges) + 1)
    return Histogram(tuple(edges.tolist()), tuple((shares / weight.sum()).tolist()))


def psi(expected: Histogram, counts: np.ndarray) -> float | None:
    """Population stability index of `counts` (rows in each of the histogram's bins); None without any.

    Each bin counts half a row more than it has, so that an empty one does not make the index infinite.
    """
    total = float(counts.sum())
    if not total:
        return None
    half = 0.5 / total
    a = (counts / total + half) / (1 + half * len(counts))
    b = (np.array(expected.shares) + half) / (1 + half * len(counts))
    return float(np.sum((a - b) * np.log(a / b)))
