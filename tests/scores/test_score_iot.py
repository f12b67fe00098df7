"""Scores of a reading, by hand."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from score_rows import NOON, READING, columns, score, sums

from feature_repo.scores import compat, iot
from feature_repo.scores.reading import Reading
from generators.machines import SENSORS


def readings(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return score("iot", *rows)


def test_how_often_and_how_well_connected() -> None:
    found = readings(*[{"anomaly_count_1hr": n} for n in (2, 3, 5, 6, None)])
    assert found["anomaly_frequency_risk"] == [0.0, 0.6, 0.6, 1.0, 0.0]
    found = readings(*[{"avg_packet_loss_1hr": p} for p in (0.02, 0.021, 0.05, 0.051, None)])
    assert found["connectivity_risk"] == [0.0, 0.4, 0.4, 0.8, 0.0]


def test_correlation_break() -> None:
    x = [-0.1, 0.1, -0.1, 0.1]
    found = readings(
        {**sums("5min", x, [-0.1, 0.1, -0.1, 0.1])},
        {**sums("5min", x, [0.1, 0.1, -0.1, 0.1])},
        {**sums("5min", x, [0.1, 0.1, -0.1, -0.1])},
        {},
    )
    assert found["sensor_correlation_break"] == [0.0, 0.5, 1.0, 0.0]


@pytest.mark.parametrize("kind", SENSORS)
def test_mend_every_device_type_deviates(kind: str) -> None:
    """The original looked at one temperature, which says nothing about five of six types."""
    (first, low, high), (second, low_2, high_2), *_ = SENSORS[kind]
    random = np.random.default_rng(3)
    usual = [float(v) for v in random.normal(0, 0.1, 20)]
    middle = {first: (low + high) / 2, second: (low_2 + high_2) / 2}
    far = {**middle, first: high + (high - low)}
    window = {**sums("5min", usual, usual), "event_included": False}
    found = readings({**window, "sensor_readings": middle}, {**window, "sensor_readings": far})
    assert found["sensor_deviation_score"] == [0.0, 1.0]


def test_mend_the_deviation_does_not_grow_with_the_sample() -> None:
    """Of normal readings the original flagged none at 3 readings and all at 10; the mended one few at any size."""
    random, flagged = np.random.default_rng(5), {}
    for size in (3, 5, 10, 30):
        windows = random.normal(0, 0.1, (2_000, size))
        rows = [
            {
                **sums("5min", list(values), list(values)),
                "sensor_readings": {"pressure": 1000 + 100 * values[-1], "flow_rate": 30 + 40 * values[-1]},
                "max_temperature_5min": 40 + values.max(),
                "min_temperature_5min": 40 + values.min(),
                "stddev_temperature_5min": values.std(ddof=1),
            }
            for values in windows
        ]
        held = columns(READING, *rows)
        mended = np.mean(iot.score(held, held)["sensor_deviation_score"] > 0)
        width = {"correlation_score_5min": [1.0] * len(rows)}
        flagged[size] = np.mean(compat.iot({**held, **width}, held)["sensor_deviation_score"] > 0)
        assert mended < 0.08, size
    assert flagged[3] < 0.01
    assert flagged[5] > 0.7
    assert min(flagged[10], flagged[30]) > 0.98


def test_the_deviation_by_hand() -> None:
    """Four readings' worth of a sixth of the range, and the others' own spread."""
    others = [0.0, 0.2]
    row = {
        **sums("5min", [*others, 0.9], [0.0] * 3),
        "sensor_readings": {"pressure": 1090.0, "flow_rate": 30.0},
    }
    found = readings(row, {**row, **sums("5min", others, [0.0] * 2), "event_included": False})
    spread = (4 / 36 + 2 * 0.01) / (4 + 2 - 1)
    expected = pytest.approx((0.9 - 0.1) / math.sqrt(spread * 1.5))
    assert found["reading_deviation_5min"] == [expected, expected]
    assert math.isnan(
        readings({**sums("5min", [0.1], [0.1]), "event_included": False})["reading_deviation_5min"][0]
    )


def test_health_wears_off() -> None:
    found = readings(
        {"last_maintenance": NOON - timedelta(days=73), "operating_hours": 25_000}, {"last_maintenance": None}
    )["device_health_score"]
    assert found[0] == pytest.approx(1 - 0.1 - 0.15)
    assert math.isnan(found[1])


def test_the_composite_and_what_follows_from_it() -> None:
    x = [-0.1, 0.1, -0.1, 0.1]
    worst = {
        **sums("5min", x, [0.1, 0.1, -0.1, -0.1]),
        "sensor_readings": {"pressure": 1500.0, "flow_rate": 30.0},
        "event_included": False,
        "anomaly_count_1hr": 6,
        "avg_packet_loss_1hr": 0.06,
    }
    found = readings(*[{**worst, "risk_score": r} for r in (1.0, 0.8, 0.4, 0.0)], {"risk_score": 0.7})
    expected = [0.4 * r + 0.25 + 0.15 + 0.08 + 0.1 for r in (1.0, 0.8, 0.4, 0.0)]
    assert found["composite_anomaly_score"][:4] == pytest.approx(expected)
    assert found["alert_level"] == ["critical", "critical", "high", "medium", "low"]
    assert found["predicted_failure_hours"] == [2.0, 2.0 if expected[1] > 0.9 else 24.0, 24.0, 168.0, 8760.0]
    assert found["requires_immediate_attention"] == [True, True, False, False, False]
    critical = readings({**worst, "criticality": "critical"})
    assert critical["requires_immediate_attention"] == [True]


def test_windows_need_no_request() -> None:
    held = columns(
        READING, {**sums("5min", [0.1, 0.2], [0.1, 0.2]), "anomaly_count_5min": 5}, dict.fromkeys(READING)
    )
    found = iot.windows(held)
    assert list(found["correlation_score_5min"]) == pytest.approx([1.0, 1.0])
    assert list(found["iot_anomaly_score_5min"]) == [0.5, 0.0]
    assert found["sensor_readings_deviation_5min"][0] == pytest.approx(4 / 2.001)


def test_nothing_known_is_nothing_wrong() -> None:
    found = readings(dict.fromkeys(READING))
    assert found["composite_anomaly_score"] == [0.0]
    assert found["anomaly_pattern"] == ["none"]
    assert found["alert_level"] == ["low"]


def test_a_pair_counts_from_the_middle_of_its_ranges() -> None:
    held = Reading.of(
        {
            "event_included": [True] * 5,
            "sensor_readings": [
                {"temperature": 25.0, "humidity": 60.0},
                {"voltage": 220.0, "current": 5.0, "power_consumption": 9.0},
                {"motion_detected": 1.0, "door_status": 0.0, "tamper_alert": 1.0},
                {"pressure": None, "flow_rate": 30.0},
                None,
            ],
        }
    )
    np.testing.assert_allclose(held.x, [0.5, -0.5, 0.5, np.nan, np.nan])
    np.testing.assert_allclose(held.y, [-0.5, -0.25, -0.5, 0.0, np.nan])
    assert list(held.tampered) == [False, False, True, False, False]
