"""From an event's making to its being readable through Feast, while all three streams run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.world import world
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
        batches = [line["seconds"] for line in lines]
        tasks = [_inside(line) for line in lines]
        stages = (
            {name: float(np.median([b.get(name, 0) for b in batches])) for name in batches[0]}
            if batches
            else {}
        )
        return {
            "rate": made,
            "samples": len(samples),
            **{f"p{q}": float(np.quantile(samples, q / 100)) for q in (50, 95, 99) if samples},
            "batches": len(batches),
            "events_per_batch": float(np.median([line["read"] for line in lines])) if lines else 0,
            "stages_p50": stages,
            "tasks_p50": {
                name: float(np.median([task.get(name, 0.0) for task in tasks]))
                for name in sorted({name for task in tasks for name in task})
            },
        }


def _inside(line: dict[str, Any]) -> dict[str, float]:
    """Seconds that a batch's tasks spent by stage, summed over views and tasks."""
    spent: dict[str, float] = {}
    for view in line["views"].values():
        for stage, seconds in view["seconds"].items():
            spent[stage] = spent.get(stage, 0.0) + seconds
    return spent
