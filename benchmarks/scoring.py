"""From the produce call of an event to its score's being readable, beside the online lane and beside a lane that
computes nothing; one process's capacity; parity."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.traffic import Apart
from benchmarks.world import World, reported, running, world
from generators.contracts import STREAMS
from generators.encode import encode
from generators.hostile import Hostility
from generators.scenario import Scenario
from generators.simulate import Simulation
from streaming.errors import ServiceError
from tidemark.demo.lane import Child, Lane

SCORES = "risk-scores"
PROBES = 40
"""Probes a second: events whose produce call is timed."""
USERS = 500
ECHO_WARM_UP = 10.0
"""Seconds; it has no compiler to wait for."""


def scoring_lane(place: World, *options: str) -> Child:
    """`tidemark stream scores --json` on the world's repo."""
    words = ["stream", "scores", "--repo", str(place.place.repo), "--json", *options]
    return Child("scoring lane", place.place.dir / "scores.log", *words)


def echo_lane(place: World) -> Child:
    """The lane that computes nothing, on the world's broker."""
    return Child("echo", place.place.dir / "echo.log", place.endpoints.kafka, module="benchmarks.echo")


class Probe(threading.Thread):
    """Pays as users of its own and waits on risk-scores for each payment's score."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="probe", daemon=True)
        self.samples: list[tuple[float, float]] = []
        self.lateness: list[float] = []
        self._made: dict[str, float] = {}
        self._halt = threading.Event()
        self._brokers = bootstrap
        self._consumer = _at_end(bootstrap)
        self._reader = threading.Thread(target=self._read, name="scores", daemon=True)
        simulation = Simulation(Scenario(seed=0, rate=1.0))
        times = simulation.times("transactions", 0, 0, 1)
        self._template = msgspec.json.decode(
            encode("transactions", simulation.events("transactions", 0, times))[1][0]
        )

    def run(self) -> None:
        self._reader.start()
        producer = Producer({"bootstrap.servers": self._brokers, "linger.ms": 0})
        number = 0
        while not self._halt.wait(random.expovariate(PROBES)):
            identity, user = str(uuid.uuid4()), f"PROBE{number % USERS:05d}"
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            event = {**self._template, "transaction_id": identity, "user_id": user, "timestamp": stamp}
            value = msgspec.json.encode(event)
            self._made[identity] = time.time()
            producer.produce(STREAMS["transactions"].topic, value, user.encode())
            producer.poll(0)
            number += 1
        producer.flush(10)

    def _read(self) -> None:
        decoder = msgspec.json.Decoder()
        while not self._halt.is_set():
            # One at a time: a batch would wait for its last message.
            message = self._consumer.poll(0.1)
            now = time.time()
            if message is None or message.error():
                continue
            if b"PROBE" in (message.key() or b""):
                made = self._made.pop(decoder.decode(message.value())["event_id"], None)
                if made is not None:
                    self.samples.append((made, now - made))

    def finish(self) -> None:
        self._halt.set()
        self.join(10)
        self._reader.join(10)
        self._consumer.close()


def _at_end(bootstrap: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    partitions = consumer.list_topics(SCORES, 15).topics[SCORES].partitions
    at = [TopicPartition(SCORES, p) for p in partitions]
    for one in at:
        one.offset = consumer.get_watermark_offsets(one, timeout=15)[1]
    consumer.assign(at)
    return consumer


def run(
    rate: float = 2_000,
    seconds: float = 60,
    warm_up: float = 60,
    capacity_events: int = 300_000,
    parity_vectors: int = 4_000,
    floor_seconds: float = 30,
) -> dict[str, Any]:
    """Latency at `rate` beside the online lane, and that of a lane that computes nothing (`floor`); then what one
    process makes of a backlog; then parity with history."""
    with world() as place:
        result = _latency(place, rate, seconds, warm_up, floor_seconds)
        if capacity_events:
            result["capacity"] = _capacity(place, capacity_events)
        if parity_vectors:
            result["parity"] = _parity(place, parity_vectors)
    return result


def _latency(
    place: World, rate: float, seconds: float, warm_up: float, floor_seconds: float
) -> dict[str, Any]:
    online = Lane(place.place.repo, place.place.dir / "checkpoint", place.place.lane_log)
    floor: dict[str, Any] = {}
    with running(online):
        traffic = Apart(place.endpoints.kafka, rate, Hostility())
        traffic.start()
        try:
            reported(online)
            if floor_seconds:
                with running(echo_lane(place)) as echo:
                    floor["floor"], _ = _measured(place, echo, traffic, floor_seconds, ECHO_WARM_UP)
            with running(scoring_lane(place, "--starting-offsets", "latest")) as scoring:
                result, lines = _measured(place, scoring, traffic, seconds, warm_up)
        finally:
            traffic.stop()
    return {
        **result,
        "scored": sum(line["scored"] for line in lines),
        "inexact": sum(line["inexact"] for line in lines),
        "from_kafka_p50_ms": _median(lines, "p50"),
        "from_kafka_p99_ms": _median(lines, "p99"),
        **floor,
    }


def _measured(
    place: World, lane: Child, traffic: Apart, seconds: float, warm_up: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The latency of what answers on risk-scores, and what it has reported meanwhile."""
    reported(lane)
    probe = Probe(place.endpoints.kafka)
    probe.start()
    time.sleep(warm_up)
    list(lane.reports())
    cpu, begin = _processor(lane), time.time()
    sent = traffic.sent
    time.sleep(seconds)
    end = time.time()
    made = (traffic.sent - sent) / (end - begin)
    cpu = _processor(lane) - cpu
    time.sleep(1)
    lane.check()
    lines = list(lane.reports())
    probe.finish()
    samples = [waited for made_at, waited in probe.samples if begin <= made_at < end - 1]
    quantiles = {
        f"p{q}_ms": round(1000 * float(np.quantile(samples, q / 100)), 2) for q in (50, 95, 99) if samples
    }
    return {
        "rate": made,
        "samples": len(samples),
        **quantiles,
        "cores": round(cpu / (end - begin), 2),
    }, lines


def _median(lines: list[dict[str, Any]], name: str) -> float:
    held = [1000 * line[name] for line in lines if name in line]
    return round(float(np.median(held)), 2) if held else float("nan")


def _processor(lane: Child) -> float:
    """Seconds of processor time that a lane and its JVM have used."""
    import psutil

    processes = [psutil.Process(lane.process.pid), *lane.children()]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _capacity(place: World, events: int) -> dict[str, Any]:
    """A backlog, scored by one process alone; its rate over the seconds that were full."""
    produced = place.produce(
        events, {"transactions": 0.4, "claims": 0.35, "iot": 0.25}, start=time.time() - 60, seed=5
    )
    options = ("--until-caught-up", "--starting-offsets", "latest")
    with running(scoring_lane(place, *options)) as lane:
        lines = [line for line in lane.finish() if line["scored"]]
    busy = [line for line in lines[1:-1] if line["lag"] > 0] or lines
    return {
        "produced": produced["events_per_second"],
        "scored": sum(line["scored"] for line in lines),
        "inexact": sum(line["inexact"] for line in lines),
        "events_per_second": round(
            sum(line["scored"] for line in busy) / sum(line["seconds"] for line in busy)
        ),
        "best_second": round(max(line["scored"] / line["seconds"] for line in busy)),
    }


def _parity(place: World, vectors: int) -> dict[str, Any]:
    """What the lane served, against history: `tidemark parity` on the vectors it logged."""
    repo, root = str(place.place.repo), str(place.place.dir / "history")
    checkpoint, archive = str(place.place.dir / "checkpoint"), str(place.place.dir / "archive")
    _run(["stream", "online", "--repo", repo, "--checkpoint", checkpoint, "--until-caught-up"])
    _run(
        ["stream", "history", "--repo", repo, "--checkpoint", archive, "--until-caught-up"],
        f"TIDEMARK_HISTORY={root}",
    )
    words = [
        "parity",
        "--repo",
        repo,
        "--checkpoint",
        checkpoint,
        "--history-checkpoint",
        archive,
        "--history",
        root,
    ]
    views = "user_transactions,user_claims,device_telemetry"
    options = ["--views", views, "--sample", "0", "--reads", "0", "--scored", str(vectors)]
    said = _run([*words, *options, "--threshold", "1", "--json"])
    found = json.loads(said.splitlines()[-1])
    compared = sum(r["compared"] for r in found["results"])
    wrong = [r for r in found["results"] if r["compared"] != r["equal"]]
    return {
        "vectors": found["scored"],
        "compared": compared,
        "mismatches": compared - sum(r["equal"] for r in found["results"]),
        "examples": [r["example"] for r in wrong[:3]],
    }


def _run(words: list[str], *environment: str) -> str:
    done = subprocess.run(
        ["env", *environment, sys.executable, "-m", "tidemark.cli", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServiceError(f"tidemark {words[0]} {words[1]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
