"""What metrics cost: their share of a running lane's processor time."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import psutil

from benchmarks.world import reported, running, world
from generators.hostile import Hostility
from streaming import metrics
from tidemark.demo.lane import Lane
from tidemark.demo.traffic import Traffic
from tidemark.services.ports import free_port

EVERY = 5
"""Seconds between two looks of Prometheus, as conf/prometheus/prometheus.yml has it."""
TARGET = 0.02


def run(rate: float = 5_000, seconds: float = 60, warm_up: float = 60, looks: int = 200) -> dict[str, Any]:
    """Milliseconds of processor of one batch's counting and of one look of Prometheus, and their `share`.

    The lane runs at `rate` events a second; a look is answered by the lane itself, `looks` times once the
    traffic has ended, less what the lane does without. Raises TidemarkError when the lane ends.
    """
    with world() as place, ExitStack() as stack:
        port = free_port()
        lane = Lane(
            place.place.repo,
            place.place.dir / "checkpoint",
            place.place.lane_log,
            "--metrics-port",
            str(port),
        )
        stack.enter_context(running(lane))
        traffic = Traffic(place.endpoints.kafka, rate, Hostility())
        stack.callback(traffic.abandon)
        traffic.start()
        reported(lane)
        time.sleep(warm_up)
        list(lane.reports())
        before, begun = _processor(lane), time.monotonic()
        time.sleep(seconds)
        used, took = _processor(lane) - before, time.monotonic() - begun
        lines = list(lane.reports())
        lane.check()
        traffic.finish()
        time.sleep(5)
        look = _look(psutil.Process(lane.process.pid), f"http://127.0.0.1:{port}/metrics", looks)
    count = _count(lines)
    spent = count * len(lines) + look * took / EVERY
    return {
        "rate": rate,
        "batches": len(lines),
        "lane_cores": used / took,
        "batch_ms": count * 1000,
        "look_ms": look * 1000,
        "share": spent / used,
        "target": TARGET,
    }


def _processor(lane: Lane) -> float:
    """Seconds that the lane's processes have computed so far."""
    seconds = 0.0
    for process in (psutil.Process(lane.process.pid), *lane.children()):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def _look(process: psutil.Process, url: str, looks: int, pause: float = 0.05) -> float:
    """Seconds of `process` for one answer at `url`."""

    def spent(asking: bool) -> float:
        before = sum(process.cpu_times()[:2])
        for _ in range(looks):
            if asking:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    answer.read()
            time.sleep(pause)
        return sum(process.cpu_times()[:2]) - before

    idle = spent(False)
    return (spent(True) - idle) / looks


def _count(lines: Sequence[Mapping[str, Any]], times: int = 20) -> float:
    """Seconds for counting one of the batches that were reported."""
    begun = time.process_time()
    for _ in range(times):
        for line in lines:
            metrics.observe(line)
    return (time.process_time() - begun) / (times * max(1, len(lines)))
