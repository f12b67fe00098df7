"""Which scores raise an alert, and which of these are left out because their entity has just had one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from serving.scoring.scorer import Scored

HELD = 200_000
"""Entities whose last alert is remembered."""


@dataclass
class Alarms:
    """At most one alert an entity, service and level within `pause` ms, by Kafka's timestamps.

    A critical alert is not held back by a high one before it.
    """

    pause: int
    _last: OrderedDict[tuple[str, bytes, bool], int] = field(default_factory=OrderedDict)

    def of(self, scored: Scored, arrived: np.ndarray) -> tuple[list[tuple[int, bool, list[str]]], int]:
        """(row among `scored.rows`, whether critical, decisions that are true) of each alert, and how many
        were left out. `arrived` (ms) is of each row."""
        alarm = scored.service.alarm
        if alarm is None:
            return [], 0
        score = scored.score
        decisions = {name: np.asarray(scored.scores[name]).astype(bool) for name in alarm.decisions}
        raised = score > alarm.above
        for held in decisions.values():
            raised |= held
        found, left_out = [], 0
        for row in raised.nonzero()[0].tolist():
            critical = bool(score[row] > alarm.critical)
            if not self._due(scored.service.name, scored.keys[row] or b"", critical, int(arrived[row])):
                left_out += 1
                continue
            found.append((row, critical, [name for name, held in decisions.items() if held[row]]))
        return found, left_out

    def _due(self, service: str, key: bytes, critical: bool, now: int) -> bool:
        levels = (True,) if critical else (True, False)
        if any(now - self._last.get((service, key, level), -self.pause) < self.pause for level in levels):
            return False
        self._last[service, key, critical] = now
        self._last.move_to_end((service, key, critical))
        if len(self._last) > HELD:
            self._last.popitem(last=False)
        return True
