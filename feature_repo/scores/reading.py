"""What a device's sensors say at one moment: two that move together, and a tamper detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from feature_repo.scores.inputs import Bools, Floats, Inputs, flags, texts
from feature_repo.scores.pairs import Pairs
from generators.machines import SENSORS

INVERSE = frozenset({"temperature_sensor"})
"""Device types whose first two sensors move against each other: warm air is dry."""

_DETECTOR = "tamper_alert"
_FIRST, _SECOND = (
    {
        name: ((low + high) / 2.0, float(high - low))
        for name, low, high in [s[place] for s in SENSORS.values()]
    }
    for place in (0, 1)
)
_TURNED = {SENSORS[kind][1][0] for kind in INVERSE}


@dataclass(frozen=True)
class Reading:
    """One row a reading. `x` and `y` count from the middle of their sensors' normal ranges, in widths of
    these; `y` is turned over (`sign` -1) where the two move against each other. NaN is null."""

    x: Floats
    y: Floats
    sign: Floats
    tampered: Bools
    included: Bools

    @staticmethod
    def of(request: Inputs) -> Reading:
        """From sensor_readings (maps of sensor names to values) and event_included."""
        rows = [_row(held) for held in texts(request["sensor_readings"])]
        table = np.array(rows, np.float64).reshape(-1, 4).T
        return Reading(table[0], table[1], table[2], table[3] != 0, flags(request["event_included"]))

    def sums(self, features: Inputs, window: str) -> Pairs:
        """The sums of a window, turned over as `y` is."""
        return Pairs.of(features, window, self.sign)

    def others(self, sums: Pairs) -> Pairs:
        """Sums without this reading."""
        return sums.without(self.x, self.y, self.included)


def _row(held: Any) -> tuple[float, float, float, float]:
    x = y = np.nan
    sign, tampered = 1.0, 0.0
    if isinstance(held, dict):
        for name, value in held.items():
            if value is None:
                continue
            if name in _FIRST:
                middle, width = _FIRST[name]
                x = (value - middle) / width
            elif name in _SECOND:
                middle, width = _SECOND[name]
                sign = -1.0 if name in _TURNED else 1.0
                y = sign * (value - middle) / width
            elif name == _DETECTOR:
                tampered = float(value)
    return x, y, sign, tampered
