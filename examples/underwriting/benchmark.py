"""How long feature requests take: profiles by batch size, through the feature server.

    python examples/underwriting/benchmark.py --profile medium --num-requests 1000 --concurrency 20

Every request carries the keys and the request data that its service asks for.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from examples.underwriting.client import PATH, body, read
from examples.underwriting.questions import Questions
from examples.underwriting.script import run
from examples.underwriting.settings import REPO
from streaming.errors import ServiceError, TidemarkError

PROFILES = {
    "small": ("benchmark_small",),
    "medium": ("benchmark_medium",),
    "large": ("benchmark_large",),
    "with_odfv": ("benchmark_with_odfv",),
    "quick": ("benchmark_small", "benchmark_medium"),
    "standard": ("benchmark_small", "benchmark_medium", "benchmark_large", "benchmark_with_odfv"),
    "pcm": ("underwriting_v1", "underwriting_v2", "underwriting_quick_quote"),
    "claims": ("claims_assessment_v1", "claims_with_labs_v1", "claims_fraud_detection_v1"),
    "fraud": ("fraud_detection_v1",),
}
PROFILES["full"] = tuple(dict.fromkeys(s for services in PROFILES.values() for s in services))
"""Services of each profile."""
TARGETS = {1: 10.0, 10: 25.0, 100: 100.0, 500: 300.0}
"""P99 in milliseconds that a batch size is to stay below."""


@dataclass(frozen=True)
class Timing:
    """Latencies of one service and batch size in ms; `target` is the P99's, None where none is set."""

    service: str
    batch: int
    requests: int
    concurrency: int
    p50: float
    p90: float
    p95: float
    p99: float
    per_second: float
    target: float | None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.p99 <= self.target


async def measure(
    url: str,
    questions: Questions,
    service: str,
    batch: int,
    requests: int,
    concurrency: int,
    warmup: int = 10,
) -> Timing:
    """`requests` requests of `batch` rows, `concurrency` at a time. Raises TidemarkError when one fails."""
    bodies = [
        json.dumps(body(service, questions.entities(service, batch))).encode()
        for _ in range(min(requests, 50))
    ]
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    took: list[float] = []
    left = iter(range(requests))

    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:

        async def ask(number: int) -> float:
            began = time.perf_counter()
            response = await client.post(
                PATH, content=bodies[number % len(bodies)], headers={"content-type": "application/json"}
            )
            spent = time.perf_counter() - began
            if response.status_code != 200:
                read(response)
            return spent * 1000

        async def caller() -> None:
            for number in left:
                took.append(await ask(number))

        try:
            for number in range(warmup):
                await ask(number)
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(caller())
            seconds = time.perf_counter() - began
        except* httpx.TransportError as failed:
            error = failed.exceptions[0]
            raise ServiceError(f"no feature server answers at {url} ({error}): start feast serve") from error
        except* TidemarkError as failed:
            raise failed.exceptions[0] from None
    p50, p90, p95, p99 = (round(float(q), 2) for q in np.percentile(took, (50, 90, 95, 99)))
    return Timing(
        service,
        batch,
        requests,
        concurrency,
        p50,
        p90,
        p95,
        p99,
        round(requests / seconds, 1),
        TARGETS.get(batch),
    )


def table(timings: list[Timing]) -> Table:
    """The timings for a terminal."""
    shown = Table("service", "rows", "p50 ms", "p90", "p95", "p99", "target", "requests/s", box=None)
    for t in timings:
        target = "" if t.target is None else f"{t.target:g} {'met' if t.met else 'missed'}"
        shown.add_row(
            t.service,
            str(t.batch),
            *(f"{v:.1f}" for v in (t.p50, t.p90, t.p95, t.p99)),
            target,
            f"{t.per_second:g}",
        )
    return shown


def main(
    profile: str = typer.Option("medium", "--profile", help=", ".join(PROFILES)),
    batch_sizes: str = typer.Option("1,10,50,100,500", "--batch-sizes", help="Rows of a request"),
    num_requests: int = typer.Option(1_000, "--num-requests"),
    concurrency: int = typer.Option(20, "--concurrency"),
    server_url: str = typer.Option("http://localhost:6566", "--server-url"),
    data: Path = typer.Option(REPO / "data", "--data", help="Where setup_data.py wrote its files"),
    output: Path | None = typer.Option(None, "--output", help="Also write JSON here"),
) -> None:
    """Measure a profile."""
    if profile not in PROFILES:
        raise TidemarkError(f"--profile {profile}: choose from {', '.join(PROFILES)}")
    try:
        sizes = [int(size) for size in batch_sizes.split(",")]
    except ValueError:
        raise TidemarkError(f"--batch-sizes {batch_sizes}: write numbers with commas between them") from None
    if min(*sizes, num_requests, concurrency, 1) < 1:
        raise TidemarkError("batch sizes, requests and concurrency are at least 1")
    questions, timings = Questions(data), []
    for service in PROFILES[profile]:
        for size in sizes:
            work = measure(server_url, questions, service, size, num_requests, concurrency)
            timings.append(asyncio.run(work))
    Console().print(table(timings))
    if output:
        output.write_text(json.dumps([asdict(t) | {"met": t.met} for t in timings], indent=2) + "\n")


if __name__ == "__main__":
    run(main)
