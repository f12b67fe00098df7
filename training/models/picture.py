"""A model's measures as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from training.models.card import Card
from training.models.rows import Rows

FILE = "report.png"
MODEL, RULES = "#1f5fa8", "#e07b00"


def draw(card: Card, held: Rows, score: np.ndarray, rules: np.ndarray, file: Path) -> None:
    """Precision and recall, recall by alert rate, and calibration, on the held-out period."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    ranking, rates, calibration = figure.subplots(1, 3)
    both = (("model", score, MODEL), (card.rules, rules, RULES))
    for name, values, colour in both:
        values = np.where(np.isfinite(values), values, -1.0)
        precision, recall, _ = precision_recall_curve(held.label, values, sample_weight=held.weight)
        measured = card.model if name == "model" else card.rule
        ranking.plot(recall, precision, color=colour, label=f"{name}: PR-AUC {measured.pr_auc:.3f}")
        order = np.argsort(-values, kind="stable")
        alerts = np.cumsum(held.weight[order]) / held.weight.sum()
        found = np.cumsum((held.weight * held.label)[order]) / (held.weight * held.label).sum()
        rates.plot(alerts, found, color=colour, label=f"{name}: {measured.recall:.0%} found")
    _frame(ranking, "recall", "precision", "Precision and recall")
    rates.axvline(card.model.alert_rate, color="#888", linestyle=":")
    rates.set_xscale("log")
    rates.set_xlim(left=1e-4)
    _frame(
        rates, "share of events alerted", "share of frauds found", f"At {card.model.alert_rate:.1%} alerts"
    )
    bins = [b for b in card.calibration if b.share and b.predicted and b.true]
    calibration.plot([1e-4, 1], [1e-4, 1], color="#888", linestyle=":")
    calibration.plot([b.predicted for b in bins], [b.true for b in bins], "o-", color=MODEL, label="model")
    calibration.set_xscale("log")
    calibration.set_yscale("log")
    _frame(calibration, "predicted probability", "share of frauds", "Calibration")
    figure.suptitle(
        f"{card.name} {card.version}, {card.period.held_out:%Y-%m-%d} to {card.period.until:%Y-%m-%d}: "
        f"{card.model.rows:,} events, {card.model.positives:,} frauds"
    )
    figure.savefig(file, dpi=90)


def _frame(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
