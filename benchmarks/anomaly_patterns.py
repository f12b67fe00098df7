"""How well `anomaly_pattern` names what is wrong with a device, against the simulation's truth.

    python -m benchmarks.anomaly_patterns

Telemetry of a dense day part is generated, the features of each reading are computed directly (a
difference of running sums, as of that very reading) and the pattern is compared with the label. The
rules were chosen on seed 1; the figures are of other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators import Population
from generators.columns import Events
from generators.contracts import Anomaly, DeviceType, vocabulary
from generators.machines import SENSORS
from generators.simulate import stream

START = 1_772_323_200_000
DEVICES, PERIOD, HOURS = 240, 4.0, 3.0
"""Devices, seconds between two readings of one, and length of the simulation."""

WINDOWS = {"1min": (60_000, 5_000), "5min": (300_000, 15_000)}
WARM = 900_000
"""Milliseconds at the beginning that are not judged."""


@dataclass(frozen=True)
class Readings:
    """Readings in the order of (device, time), with the features that include each of them."""

    events: Events
    features: Mapping[str, NDArray[Any]]
    truth: NDArray[np.object_]
    kind: NDArray[np.object_]
    judged: NDArray[np.bool_]


def readings(seed: int, devices: int = DEVICES, period: float = PERIOD, hours: float = HOURS) -> Readings:
    """A simulation of its own; a tenth of the devices drift at any time."""
    population = Population(seed=seed, devices=devices, zipf=0.0, drifting=0.1)
    rate = devices / period
    count = int(rate * hours * 3600)
    events = stream("iot", seed=seed, n=count, start_time=START, rate=rate, population=population)
    device = np.unique(events["device_id"].astype(str), return_inverse=True)[1]
    order = np.lexsort((events.index, device))
    events, device = events.take(order), device[order]
    x, y = _pair(events["sensor_readings"])
    features = window_sums(device, events.at, x, y)
    return Readings(
        events,
        features,
        events["true_anomaly_type"].astype(object),
        events["device_type"].astype(object),
        events.at >= START + WARM,
    )


def _pair(maps: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As the stream view's udf counts them."""
    places = {
        name: (i, (low + high) / 2, high - low)
        for sensors in SENSORS.values()
        for i, (name, low, high) in enumerate(sensors[:2])
    }
    values = np.empty((2, len(maps)))
    for row, held in enumerate(maps):
        for name, value in held.items():
            if name in places:
                place, middle, width = places[name]
                values[place, row] = (value - middle) / width
    return values[0], values[1]


def window_sums(
    device: NDArray[np.int64], at: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """pair_<sum>_<window> of each reading, itself included; rows are sorted by (device, time)."""
    reach = int(at.max() - at.min()) + 8 * max(length for length, _ in WINDOWS.values())
    base = at.min() - 2 * max(length for length, _ in WINDOWS.values())
    key = device * reach + (at - base)
    end = np.arange(1, len(at) + 1)
    columns = {"count": np.ones(len(at)), "sum_x": x, "sum_y": y}
    columns |= {"sum_xx": x * x, "sum_yy": y * y, "sum_xy": x * y}
    running = {name: np.concatenate([[0.0], np.cumsum(values)]) for name, values in columns.items()}
    found = {}
    for window, (length, slide) in WINDOWS.items():
        begin = (at // slide + 1) * slide - length
        first = np.searchsorted(key, device * reach + (begin - base))
        for name, sums in running.items():
            found[f"pair_{name}_{window}"] = sums[end] - sums[first]
    return found


def run(seed: int = 2, **size: Any) -> dict[str, Any]:
    """Precision, recall and support of each pattern, for all devices and by device type."""
    from feature_repo.scores.patterns import anomaly_pattern

    held = readings(seed, **size)
    included = np.ones(len(held.truth), bool)
    request = {"sensor_readings": held.events["sensor_readings"], "event_included": included}
    found = anomaly_pattern(held.features, request)
    kinds = {"all": held.judged, **{k: held.judged & (held.kind == k) for k in vocabulary(DeviceType)}}
    return {name: measure(held.truth[rows], found[rows]) for name, rows in kinds.items()}


def measure(truth: NDArray[np.object_], found: NDArray[np.object_]) -> dict[str, dict[str, float]]:
    """Of each pattern: share of the truth (what a guess would hit), precision and recall by readings."""
    report = {}
    for pattern in vocabulary(Anomaly):
        is_so, said = truth == pattern, found == pattern
        both = float((is_so & said).sum())
        report[pattern] = {
            "readings": int(is_so.sum()),
            "chance": round(float(is_so.mean()), 4),
            "precision": round(both / max(int(said.sum()), 1), 3),
            "recall": round(both / max(int(is_so.sum()), 1), 3),
        }
    return report


def report(result: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The figures as a table: precision / recall (readings of the pattern)."""
    lines = ["".join(f"{title:24}" for title in ("device type", *vocabulary(Anomaly))).rstrip()]
    for kind, patterns in result.items():
        cells = [f"{p['precision']:.2f} / {p['recall']:.2f} ({p['readings']:,})" for p in patterns.values()]
        lines.append("".join(f"{cell:24}" for cell in (kind, *cells)).rstrip())
    return "\n".join(lines)


def main() -> None:
    print(report(run()))


if __name__ == "__main__":
    main()
