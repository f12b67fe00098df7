"""From an event's making to its being readable through Feast, while all three streams run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.world import task_seconds, world
from generators.hostile import Hostility
from tidemark.demo.lane import Lane
from tidemark.demo.probe import Probe
from tidemark.demo.traffic import Traffic


def run(rate: float = 5_000, seconds: float = 60, warm_up: float = 60) -> dict[str, Any]:
    """p50, p95 and p99 (s) of probes made within `seconds`, after `warm_up`, and what each stage cost."""
    with world() as place:
        checkpoint = place.place.dir / "checkpoint"
        lane = Lane(place.place.repo, checkpoint, place.place.lane_log)
        traffic = Traffic(place.endpoints.kafka, rate, Hostility())
        probe = Probe(place.place.repo, place.endpoints.kafka)
        lines: list[dict[str, Any]] = []
        try:
            traffic.start()
            while not lines:
                lane.check()
                lines += lane.reports()
                time.sleep(0.2)
            probe.start()
            time.sleep(warm_up)
            lines += lane.reports()
            lines.clear()
            begin = time.time()
            sent = traffic.tally.sent
            time.sleep(seconds)
            end = time.time()
            made = (traffic.tally.sent - sent) / (end - begin)
            lines += lane.reports()
            probe.check()
            samples = probe.between(begin, end - 5)
        finally:
            probe.abandon()
            traffic.abandon()
            lane.stop()
        return {
            "rate": made,
            "samples": len(samples),
            **{f"p{q}": float(np.quantile(samples, q / 100)) for q in (50, 95, 99) if samples},
            "batches": len(lines),
            "events_per_batch": float(np.median([line["read"] for line in lines])) if lines else 0,
            "stages_p50": _medians([line["seconds"] for line in lines]),
            "tasks_p50": _medians([task_seconds(line) for line in lines]),
        }


def _medians(batches: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each stage over all batches; a stage that a batch lacks took it no time."""
    stages = dict.fromkeys(name for batch in batches for name in batch)
    return {name: float(np.median([batch.get(name, 0.0) for batch in batches])) for name in stages}
