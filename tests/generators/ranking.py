"""Naive measures of how well one field alone ranks the frauds above the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def roc_auc(score: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    """Chance that a random positive scores above a random negative; ties count half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts)
    rank = (upto - (counts - 1) / 2)[inverse]
    positives, negatives = truth.sum(), (~truth).sum()
    return float((rank[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(score: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    """Mean precision over the positives, ties taken together."""
    values, inverse = np.unique(-score, return_inverse=True)
    hits = np.bincount(inverse, weights=truth, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(np.bincount(inverse, minlength=len(values)))
    return float((precision * hits).sum() / truth.sum())


def best_single(values: NDArray[Any], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """(ROC AUC, average precision) of the best use of one field, learned on the first half of the rows
    and measured on the second: numbers up, down or binned, words by their share of positives."""
    half = len(values) // 2
    learn, check = slice(0, half), slice(half, None)
    if values.dtype == object:
        values = np.array([str(v) for v in values])
    scores = []
    if values.dtype.kind in "biuf":
        numbers = values.astype(float)
        scores += [numbers, -numbers]
        cuts = np.unique(np.quantile(numbers[learn], np.linspace(0, 1, 101)))
        values = np.searchsorted(cuts, numbers)
    words, index = np.unique(values, return_inverse=True)
    seen = np.bincount(index[learn], minlength=len(words))
    hits = np.bincount(index[learn], weights=truth[learn], minlength=len(words))
    share = truth[learn].mean()
    scores.append(((hits + 20 * share) / (seen + 20))[index])
    measured = [(roc_auc(s[check], truth[check]), average_precision(s[check], truth[check])) for s in scores]
    return max(m[0] for m in measured), max(m[1] for m in measured)
