"""Reading features over HTTP: the API beside Feast's own server, on one Redis, while the online lane runs.

    tidemark bench serving --batch-sizes 1,10,50,100,500 --concurrency 4 --num-requests 500

Each batch size is measured in turns of both servers, so that what else the machine does meets both. Clients keep
their connections; requests are made beforehand, over random entities.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.traffic import Apart
from benchmarks.world import World, reported, world
from streaming.errors import ServiceError, TidemarkError
from tidemark.demo.api import ApiServer
from tidemark.demo.lane import Lane
from tidemark.demo.traffic import HOSTILITY

AIMS = {1: 10.0, 10: 25.0, 100: 100.0, 500: 300.0}
"""p99 in ms that a batch size is to stay below, with four clients."""
TURNS = 5
WARM = 20
RATE = 2_000
KEYS = {
    "user_id": "CUST{:08d}",
    "merchant_id": "MERCH{:06d}",
    "provider_id": "PROV{:06d}",
    "device_id": "DEV{:08d}",
}
"""How the simulators name entities."""
PAYMENT = {
    "amount": 120.0,
    "risk_score": 0.4,
    "event_time": "2026-01-01T12:00:00Z",
    "event_included": False,
    "previous_max_transaction_amount_7d": None,
}


@dataclass(frozen=True)
class Wanted:
    """What is read: a service or references, for entities of these keys, with the same `request` data for each."""

    service: str = ""
    features: tuple[str, ...] = ()
    keys: tuple[str, ...] = ("user_id",)
    request: dict[str, Any] = field(default_factory=dict)


_PAYMENTS = [f"user_transactions:{name}" for name in ("transaction_count_1hr", "avg_transaction_amount_24hr")]
_PAYMENTS.append("user_transactions:distinct_merchants_7d")
PROFILES = {
    "small": Wanted(features=tuple(_PAYMENTS)),
    "medium": Wanted("transaction_risk", keys=("user_id", "merchant_id")),
    "large": Wanted(),
    "with_odfv": Wanted("transaction_scoring", (), ("user_id", "merchant_id"), PAYMENT),
}
"""Three features of one view; a service of two views; every feature of LARGE; a service with an on-demand view."""
LARGE = ("user", "merchant", "provider")
PATH = "/v1/features"


@dataclass(frozen=True)
class Server:
    """Somebody who answers; `body` makes a request of entities."""

    name: str
    url: str
    path: str
    body: Callable[[Wanted, dict[str, list[str]], int], dict[str, Any]]


def ours(url: str) -> Server:
    def body(wanted: Wanted, entities: dict[str, list[str]], rows: int) -> dict[str, Any]:
        what = {"feature_service": wanted.service} if wanted.service else {"features": list(wanted.features)}
        return {**what, "entities": entities, "request": {n: [v] * rows for n, v in wanted.request.items()}}

    return Server("tidemark", url, PATH, body)


def feasts(url: str) -> Server:
    def body(wanted: Wanted, entities: dict[str, list[str]], rows: int) -> dict[str, Any]:
        what = {"feature_service": wanted.service} if wanted.service else {"features": list(wanted.features)}
        data = {n: [v] * rows for n, v in wanted.request.items()}
        return {**what, "entities": {**entities, **data}, "full_feature_names": True}

    return Server("feast", url, "/get-online-features", body)


def measure(
    server: Server, wanted: Wanted, size: int, requests: int, clients: int, entities: int, seed: int
) -> list[float]:
    """Seconds of each request, `clients` at a time. Raises ServiceError when one is refused or not answered."""
    rng = random.Random(seed)
    bodies = []
    for _ in range(min(requests, 50)):
        asked = {
            key: [KEYS.get(key, "{}").format(rng.randrange(entities)) for _ in range(size)]
            for key in wanted.keys
        }
        bodies.append(json.dumps(server.body(wanted, asked, size)).encode())
    where = urlsplit(server.url)

    def client(number: int) -> list[float]:
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        connection = kind(where.hostname or "", where.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took = []
        try:
            for i in range(number, requests, clients):
                began = time.perf_counter()
                connection.request(
                    "POST", server.path, bodies[i % len(bodies)], {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                content = answer.read()
                took.append(time.perf_counter() - began)
                if answer.status != 200:
                    raise ServiceError(
                        f"{server.url} answered {answer.status}: {content[:200]!r}: see its log"
                    )
        except (OSError, http.client.HTTPException) as error:
            raise ServiceError(f"{server.url} ended a connection ({error}): see its log") from error
        finally:
            connection.close()
        return took

    with ThreadPoolExecutor(clients) as pool:
        return [seconds for took in pool.map(client, range(clients)) for seconds in took]


def compare(
    servers: Sequence[Server],
    wanted: Wanted,
    sizes: Sequence[int],
    requests: int,
    clients: int,
    entities: int,
) -> list[dict[str, Any]]:
    """p50, p95 and p99 (ms) and requests a second of each server at each batch size, and the ratios to the last."""
    rows = []
    for size in sizes:
        took: dict[str, list[float]] = {server.name: [] for server in servers}
        spent = dict.fromkeys(took, 0.0)
        for server in servers:
            measure(server, wanted, size, min(WARM, requests), clients, entities, 0)
        for turn in range(TURNS):
            for server in servers:
                began = time.perf_counter()
                share = max(requests // TURNS, clients)
                took[server.name] += measure(server, wanted, size, share, clients, entities, 1 + turn)
                spent[server.name] += time.perf_counter() - began
        row: dict[str, Any] = {"batch": size, "requests": len(took[servers[0].name])}
        for server in servers:
            found = np.percentile(took[server.name], [50, 95, 99]) * 1_000
            names = ("p50_ms", "p95_ms", "p99_ms")
            row[server.name] = {name: round(float(ms), 3) for name, ms in zip(names, found, strict=True)}
            row[server.name]["per_second"] = round(len(took[server.name]) / spent[server.name], 1)
        first, last = servers[0].name, servers[-1].name
        if first != last:
            row["ratio"] = {
                name: round(row[last][name] / row[first][name], 2) for name in ("p50_ms", "p95_ms", "p99_ms")
            }
        if size in AIMS:
            row["aim_ms"] = AIMS[size]
            row["met"] = row[first]["p99_ms"] <= AIMS[size]
        rows.append(row)
    return rows


def run(
    wanted: Wanted | None,
    sizes: Sequence[int],
    requests: int = 500,
    clients: int = 4,
    url: str = "",
    profiles: Sequence[str] = ("medium",),
    entities: int = 1_000,
    warm_up: float = 20.0,
) -> dict[str, Any]:
    """Measure the server at `url` alone, or, without one, our API and Feast's server on a world of their own.

    `wanted` is what to read; without it `profiles` are. Raises TidemarkError.
    """
    with ExitStack() as stack:
        if url:
            servers = [(feasts if _is_feast(url) else ours)(url.rstrip("/"))]
        else:
            place = stack.enter_context(world())
            servers = stack.enter_context(_both(place, warm_up))
        asked = {"given": wanted} if wanted else {name: _profile(name, servers[0]) for name in profiles}
        found = {
            name: compare(servers, one, sizes, requests, clients, entities) for name, one in asked.items()
        }
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "measured": when,
        "clients": clients,
        "lane_events_per_second": 0 if url else RATE,
        "profiles": found,
    }


def _profile(name: str, server: Server) -> Wanted:
    """Raises ServiceError for `large` of a server that does not say what it has."""
    if name != "large":
        return PROFILES[name]
    if server.path != PATH:
        raise ServiceError(f"{server.url} does not list its features: name them with --features")
    with urllib.request.urlopen(f"{server.url}/v1/entities", timeout=20) as answer:
        types = json.load(answer)
    views = [view for kind in LARGE for view in types[kind]["views"].items()]
    refs = [f"{view}:{feature}" for view, features in views for feature in features]
    return Wanted("", tuple(refs), tuple(types[kind]["join_key"] for kind in LARGE))


@contextmanager
def _both(place: World, warm_up: float) -> Iterator[list[Server]]:
    """Both servers, while the online lane computes what comes at RATE events a second."""
    folder = place.place.dir
    with ExitStack() as stack:
        lane = Lane(place.place.repo, folder / "checkpoint", place.place.lane_log, "--partitions", "2")
        stack.callback(lane.stop)
        traffic = Apart(place.endpoints.kafka, RATE, HOSTILITY)
        traffic.start()
        stack.callback(traffic.stop)
        audit = str(folder / "audit.jsonl")
        options = ("--kafka", place.endpoints.kafka, "--audit", audit, "--no-scores")
        api = ApiServer(place.place.repo, folder / "api.log", *options)
        stack.callback(api.stop)
        feast = stack.enter_context(_feast_serve(place.place.repo, folder / "feast.log"))
        servers = [ours(api.wait(180)), feasts(feast)]
        _await(feast, folder / "feast.log")
        reported(lane, 300)
        time.sleep(warm_up)
        yield servers
        lane.check()


@contextmanager
def _feast_serve(repo: Path, log: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = "from streaming import lazy_spark as s; s.install(); from feast.cli.cli import cli; cli()"
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log"]
    # By default it restarts after 1,000 requests, and answers nobody meanwhile.
    options += ["--max-requests", "0"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", start, "-c", str(repo), "serve", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(url: str, log: Path, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ServiceError(f"feast serve at {url} did not answer within {seconds:g} s: see {log}")


def _is_feast(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health/live", timeout=5):
            return False
    except urllib.error.HTTPError as error:
        return error.code == 404
    except (urllib.error.URLError, OSError) as error:
        raise ServiceError(f"nobody answers at {url} ({error}): start `tidemark serve`") from error


def plot(result: dict[str, Any], file: Path) -> None:
    """Latency by batch size, a picture for each profile."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(result["profiles"])
    figure, axes = pyplot.subplots(1, len(names), figsize=(5.2 * len(names), 4.2), sharey=True, squeeze=False)
    colours = {"tidemark": "#0b7285", "feast": "#e8590c"}
    for axis, name in zip(axes[0], names, strict=True):
        rows = result["profiles"][name]
        sizes = [row["batch"] for row in rows]
        for server, colour in colours.items():
            if server in rows[0]:
                for quantile, style in (("p50_ms", ":"), ("p95_ms", "--"), ("p99_ms", "-")):
                    values = [row[server][quantile] for row in rows]
                    label = f"{server} {quantile.removesuffix('_ms')}"
                    axis.plot(sizes, values, style, marker="o", markersize=3, color=colour, label=label)
        aims = [(row["batch"], row["aim_ms"]) for row in rows if "aim_ms" in row]
        if aims:
            axis.plot(*zip(*aims, strict=True), "v", color="#c92a2a", label="aim of p99")
        axis.set(xscale="log", yscale="log", title=name, xlabel="entities a request")
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.grid(alpha=0.3, which="both")
    axes[0][0].set_ylabel("ms")
    axes[0][0].legend(fontsize=8)
    lane = f", online lane at {result['lane_events_per_second']:,} events/s"
    figure.suptitle(f"{result['clients']} clients{lane if result['lane_events_per_second'] else ''}")
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    pyplot.close(figure)


def parse(service: str, features: str, keys: str) -> Wanted | None:
    """What the options name. Raises TidemarkError for both or keys alone."""
    if service and features:
        raise TidemarkError("name what to read: either --feature-service or --features")
    if not service and not features:
        return None
    names = tuple(name.strip() for name in features.split(",") if name.strip())
    return Wanted(service, names, tuple(key.strip() for key in keys.split(",")))
