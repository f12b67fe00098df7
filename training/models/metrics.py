"""Every metric of models in use, with Prometheus names; all have the labels `model` and `version`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

NAMES = ["model", "version"]

SCORED = Counter("tidemark_model_scored_total", "Events scored by a model", NAMES)
PSI = Gauge("tidemark_model_score_psi", "PSI of recent probabilities against the held-out period's", NAMES)
MEAN = Gauge("tidemark_model_probability_mean", "Mean probability of recent events", NAMES)
LABELLED = Counter(
    "tidemark_model_labelled_total", "Scored events whose label has arrived, by it", [*NAMES, "label"]
)
UNKNOWN = Counter("tidemark_model_labels_unknown_total", "Labels of events that are not remembered", NAMES)
PR_AUC = Gauge("tidemark_model_live_pr_auc", "PR-AUC of the newest labelled events", NAMES)
RECALL = Gauge(
    "tidemark_model_live_recall", "Share of the newest positives at or above the alert threshold", NAMES
)
PRECISION = Gauge(
    "tidemark_model_live_precision",
    "Share of positives among the newest events at or above the threshold",
    NAMES,
)
CALIBRATION = Gauge(
    "tidemark_model_live_calibration", "True rate over mean probability of the newest labelled events", NAMES
)
