"""A fixed rate for a long time: whether memory stays flat, reads are answered and everything arrives."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import redis
from feast import FeatureStore

from benchmarks.world import reported, world
from generators.hostile import Hostility
from streaming.errors import TidemarkError
from tidemark.demo.lane import Lane
from tidemark.demo.probe import Probe
from tidemark.demo.traffic import Traffic

HOSTILITY = Hostility(late=0.03, duplicates=0.02, malformed=0.01)
SLOW = 1.0
"""A read that takes longer (s) counts as one that was not answered."""
FEATURE = "user_transactions:transaction_count_1hr"
MOST = 0.10
"""Memory is flat when it grows by less than this share from the middle third of the run to its last."""


class Reads(threading.Thread):
    """Reads features ten times a second; `answered` and `failed` are counts, `slowest` is in seconds."""

    def __init__(self, store: FeatureStore, users: int = 1_000) -> None:
        super().__init__(name="reads", daemon=True)
        self.store = store
        self.users = users
        self.answered = self.failed = 0
        self.slowest = 0.0
        self.causes: Counter[str] = Counter()
        self._halt = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._halt.wait(0.1):
            number += 1
            began = time.monotonic()
            try:
                row = {"user_id": f"CUST{number % self.users:08d}"}
                self.store.get_online_features([FEATURE], [row]).to_dict()
            except (redis.RedisError, TidemarkError) as error:
                self.failed += 1
                self.causes[type(error).__name__] += 1
                continue
            seconds = time.monotonic() - began
            self.slowest = max(self.slowest, seconds)
            if seconds > SLOW:
                self.failed += 1
                self.causes["slow"] += 1
            else:
                self.answered += 1

    def stop(self) -> None:
        self._halt.set()
        self.join(20)


def run(minutes: float = 30, rate: float = 2_000, every: float = 5.0) -> dict[str, Any]:
    """All three streams at `rate` events a second through all shipped views, looked at `every` so many seconds.

    Returns memory by process (MB; see `trend`), `availability` of reads, `delivery` (messages accounted for by
    the lane over messages sent), freshness, and batches. Raises TidemarkError when the lane or the producer ends.
    """
    with world() as place:
        lane = Lane(place.place.repo, place.place.dir / "checkpoint", place.place.lane_log)
        traffic = Traffic(place.endpoints.kafka, rate, HOSTILITY)
        probe = Probe(place.place.repo, place.endpoints.kafka)
        reads = Reads(probe.store)
        lines: list[dict[str, Any]] = []
        memory: list[dict[str, float]] = []
        try:
            traffic.start()
            lines += reported(lane)
            probe.start()
            reads.start()
            began = time.monotonic()
            while time.monotonic() - began < minutes * 60:
                time.sleep(every)
                lane.check()
                traffic.check()
                probe.check()
                lines += lane.reports()
                memory.append(place.held(lane))
            seconds = time.monotonic() - began
            reads.stop()
            traffic.finish()
            probe.finish()
            probe.join(60)
            sent = traffic.tally.sent + probe.sent
            _drain(lane, lines, sent)
            samples = [sample.seconds for sample in probe.samples]
        finally:
            probe.abandon()
            traffic.abandon()
            lane.stop()
    return {
        "minutes": round(seconds / 60, 1),
        "rate": round(traffic.tally.sent / seconds),
        "memory": {name: trend([look[name] for look in memory]) for name in memory[0]},
        **account(lines, sent),
        "availability": {
            "reads": reads.answered + reads.failed,
            "share": reads.answered / max(1, reads.answered + reads.failed),
            "target": 0.999,
            "slowest": round(reads.slowest, 3),
            "causes": dict(reads.causes),
        },
        "freshness": {f"p{q}": float(np.quantile(samples, q / 100)) for q in (50, 95, 99) if samples},
    }


def _drain(lane: Lane, lines: list[dict[str, Any]], sent: int, patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while _read(lines) < sent and time.monotonic() < deadline:
        lane.check()
        lines += lane.reports()
        time.sleep(0.2)


def _read(lines: Sequence[Mapping[str, Any]]) -> int:
    return sum(line["read"] for line in lines if not line["repair"])


def account(lines: Sequence[Mapping[str, Any]], sent: int) -> dict[str, Any]:
    """What became of `sent` messages, and the batches that did it."""
    seconds = [line["seconds"].get("spark triggerExecution", 0.0) for line in lines]
    return {
        "delivery": {
            "sent": sent,
            "read": _read(lines),
            "share": _read(lines) / max(1, sent),
            "unaccounted": sum(abs(v["unaccounted"]) for line in lines for v in line["views"].values()),
            "repaired": sum(line["repair"] for line in lines),
        },
        "batches": {"count": len(lines), "p50": float(np.median(seconds)), "max": max(seconds)},
    }


def trend(sizes: Sequence[float]) -> dict[str, Any]:
    """Mean of each third of the run, growth from the second to the last, and whether that is flat."""
    thirds = [float(np.mean(part)) for part in np.array_split(np.array(sizes), 3) if len(part)]
    growth = thirds[-1] / thirds[len(thirds) // 2] - 1 if len(thirds) == 3 and thirds[1] else 0.0
    return {"thirds": [round(size, 1) for size in thirds], "growth": round(growth, 3), "flat": growth < MOST}
