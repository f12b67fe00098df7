"""From an event's making to its being readable through Feast, while all three streams run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.traffic import Apart
from benchmarks.world import World, reported, running, task_seconds, world
from generators.hostile import Hostility
from tidemark.demo.lane import Child, Lane
from tidemark.demo.probe import Probe

TRIGGER = 60
"""Seconds between two batches of the history lane: what is measured beside it has one of them in it."""


def run(
    rate: float = 5_000, seconds: float = 60, warm_up: float = 60, *, history: bool = False
) -> dict[str, Any]:
    """p50, p95 and p99 (s) of probes made within `seconds`, after `warm_up`, and what each stage cost.

    With `history` the same again beside the history lane (trigger of 60 s), after as much warm-up.
    """
    with world() as place, ExitStack() as stack:
        checkpoint = place.place.dir / "checkpoint"
        lane = stack.enter_context(running(Lane(place.place.repo, checkpoint, place.place.lane_log)))
        traffic = Apart(place.endpoints.kafka, rate, Hostility())
        stack.callback(traffic.stop)
        probe = Probe(place.place.repo, place.endpoints.kafka)
        stack.callback(probe.abandon)
        traffic.start()
        reported(lane)
        probe.start()
        time.sleep(warm_up)
        alone = _measured(lane, traffic, probe, seconds)
        if not history:
            return alone
        archive = stack.enter_context(running(_history(place)))
        time.sleep(max(warm_up, TRIGGER))
        beside = _measured(lane, traffic, probe, max(seconds, TRIGGER))
        archive.check()
        ratios = {q: beside[q] / alone[q] for q in ("p50", "p95") if q in beside and q in alone}
        return {"alone": alone, "beside_history": beside, "ratios": ratios}


def _history(place: World) -> Child:
    """`tidemark stream history` on the same topics, from their end."""
    folder = place.place.dir
    words = ["stream", "history", "--repo", str(place.place.repo), "--history", str(folder / "history")]
    words += ["--checkpoint", str(folder / "history-checkpoint"), "--starting-offsets", "latest", "--json"]
    return Child("history lane", folder / "history.log", *words)


def _measured(lane: Child, traffic: Apart, probe: Probe, seconds: float) -> dict[str, Any]:
    list(lane.reports())
    begin, sent = time.time(), traffic.sent
    time.sleep(seconds)
    end, made = time.time(), traffic.sent - sent
    lines = list(lane.reports())
    lane.check()
    probe.check()
    samples = probe.between(begin, end - 5)
    return {
        "rate": made / (end - begin),
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
