"""Scores of a device's reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_repo.scores import categories, patterns
from feature_repo.scores.composite import Composite
from feature_repo.scores.inputs import Floats, Inputs, above, counts, moments, numbers, select, texts
from feature_repo.scores.pairs import SUMS, Pairs
from feature_repo.scores.reading import Reading

COMPOSITE = Composite(
    "composite_anomaly_score",
    {
        "risk_score": 0.4,
        "sensor_deviation_score": 0.25,
        "anomaly_frequency_risk": 0.15,
        "connectivity_risk": 0.1,
        "sensor_correlation_break": 0.1,
    },
)
WINDOW_FEATURES = (
    "reading_count_5min",
    "anomaly_count_5min",
    "max_temperature_5min",
    "min_temperature_5min",
    "stddev_temperature_5min",
    *(f"pair_{name}_5min" for name in SUMS),
)
FEATURES = ("anomaly_count_1hr", "avg_packet_loss_1hr", *patterns.FEATURES)
WINDOW_OUTPUTS: Mapping[str, type] = {
    "correlation_score_5min": float,
    "sensor_readings_deviation_5min": float,
    "iot_anomaly_score_5min": float,
}
OUTPUTS: Mapping[str, type] = {
    "reading_deviation_5min": float,
    "sensor_deviation_score": float,
    "anomaly_frequency_risk": float,
    "connectivity_risk": float,
    "sensor_correlation_break": float,
    "device_health_score": float,
    "composite_anomaly_score": float,
    "anomaly_pattern": str,
    "alert_level": str,
    "requires_immediate_attention": bool,
    "predicted_failure_hours": float,
    **dict.fromkeys(COMPOSITE.shares, float),
}

_PRIOR, _NORMAL = 4.0, 1 / 6
"""Before a device has shown how much it varies, its normal range is taken for three standard deviations
to each side, with the weight of four readings."""


def windows(features: Inputs, request: Inputs | None = None) -> dict[str, Any]:
    """WINDOW_OUTPUTS of each device, from WINDOW_FEATURES; nothing is requested."""
    readings, anomalies = counts(features["reading_count_5min"]), counts(features["anomaly_count_5min"])
    width = np.abs(numbers(features["max_temperature_5min"]) - numbers(features["min_temperature_5min"]))
    return {
        "correlation_score_5min": Pairs.of(features, "5min").correlation,
        "sensor_readings_deviation_5min": width / (numbers(features["stddev_temperature_5min"]) + 0.001),
        "iot_anomaly_score_5min": np.where(readings > 0, anomalies / np.maximum(readings, 1), 0.0),
    }


def score(features: Inputs, request: Inputs) -> dict[str, Any]:
    """OUTPUTS of each reading, from FEATURES of its device.

    `request` holds risk_score, event_time, criticality, operating_hours, last_maintenance, sensor_readings
    (sensor names to values) and event_included (whether the features count this reading already).
    """
    reading = Reading.of(request)
    sums = [reading.sums(features, window) for window in patterns.WINDOWS]
    minute, five = map(reading.others, sums)
    deviation = _deviation(reading, five)
    correlation = sums[1].correlation
    loss = numbers(features["avg_packet_loss_1hr"])
    components = {
        "risk_score": numbers(request["risk_score"]),
        "sensor_deviation_score": above(deviation, 0.0, (3, 1.0), (2, 0.7)),
        "anomaly_frequency_risk": above(counts(features["anomaly_count_1hr"]), 0.0, (5, 1.0), (2, 0.6)),
        "connectivity_risk": above(loss, 0.0, (0.05, 0.8), (0.02, 0.4)),
        "sensor_correlation_break": select(0.0, (correlation < 0.3, 1.0), (correlation < 0.6, 0.5)),
    }
    composite = COMPOSITE.of(components)
    total = composite[COMPOSITE.name]
    return {
        "reading_deviation_5min": deviation,
        **components,
        **composite,
        "device_health_score": device_health_score(request),
        "anomaly_pattern": patterns.pattern(reading, minute, five),
        "alert_level": categories.alert_level(total),
        "requires_immediate_attention": categories.requires_immediate_attention(
            total, texts(request["criticality"])
        ),
        "predicted_failure_hours": categories.predicted_failure_hours(total),
    }


def device_health_score(request: Inputs) -> Floats:
    """1 less wear: half a point a year without service, 0.3 for 50,000 hours of operation; null if unknown."""
    days = np.floor(moments(request["event_time"]) / 86_400)
    days -= np.floor(moments(request["last_maintenance"]) / 86_400)
    return 1 - days / 365 * 0.5 - numbers(request["operating_hours"]) / 50_000 * 0.3


def _deviation(reading: Reading, others: Pairs) -> Floats:
    """How far a reading is from the device's others of 5 minutes, in standard deviations of such a
    difference; of the two sensors the larger one. Null below two others."""
    n = np.where(others.n >= 2, others.n, np.nan)
    found = []
    for value, mean, variance in zip((reading.x, reading.y), others.means, others.variances, strict=True):
        expected = (_PRIOR * _NORMAL**2 + n * variance) / (_PRIOR + n - 1)
        found.append(np.abs(value - mean) / np.sqrt(expected * (1 + 1 / n)))
    return np.fmax(*found)
