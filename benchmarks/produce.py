"""How many events a second one producer process makes, encodes and has acknowledged; memory meanwhile."""

from __future__ import annotations

from typing import Any

import psutil

from generators import Population, Scenario
from generators.delivery import KafkaSettings
from generators.run import Run
from generators.tally import Tally, report
from generators.workers import carry_out

TARGET = 150_000
"""Events a second to reach, one process, broker on the same two cores."""


def run(bootstrap: str, events: int = 3_000_000, *, acks: str = "all", batch_kb: int = 64) -> dict[str, Any]:
    """Sends `events` of the default mix as fast as the broker takes them.

    The topics of conf/topics.yaml must exist. Returns the closing report with `target`, `reached`
    (`events_per_second` over `target`), the processor time of this process an event, and `rss_mb`: memory of this process at a tenth, the middle and
    the end of the run, and `growth` from the first to the last.
    """
    process = psutil.Process()
    scenario = Scenario(rate=TARGET, population=Population())
    settings = Run(
        KafkaSettings(bootstrap, acks=acks, batch_kb=batch_kb), scenario, throughput=None, events=events
    )
    memory: list[tuple[float, float]] = []

    def watch(tally: Tally) -> None:
        memory.append((tally.sent / events, process.memory_info().rss / 1e6))

    before = process.cpu_times()
    outcome = report(carry_out(settings, show=watch))
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    at = {name: _near(memory, share) for name, share in (("tenth", 0.1), ("middle", 0.5), ("end", 1.0))}
    rate = outcome["events_per_second"]
    return {
        **outcome,
        "target": TARGET,
        "reached": round(rate / TARGET, 3),
        "cpu_us_per_event": round(spent / outcome["sent"] * 1e6, 2),
        "rss_mb": {**at, "growth": round(at["end"] / at["tenth"] - 1, 3)},
    }


def _near(memory: list[tuple[float, float]], share: float) -> float:
    return round(min(memory, key=lambda point: abs(point[0] - share))[1], 1)
