"""The example's parts on this machine: broker, Redis, definitions, online lane, feature server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx

from examples.underwriting.client import Client
from examples.underwriting.features.customers import customer_risk_fresh
from examples.underwriting.history.tables import VIEWS
from examples.underwriting.settings import HERE, REPO
from streaming.errors import ServiceError
from tidemark import broker, topics
from tidemark.demo.lane import Lane
from tidemark.demo.place import APPLY, Place
from tidemark.services import Endpoints, LocalServices

PATIENCE = 180


class System:
    """Everything that runs, with all that it writes under `folder`. `say` hears a line about each step."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.place = Place(folder)
        self.say = say
        self.read = 0
        self.endpoints: Endpoints

    @property
    def data(self) -> Path:
        return self.place.repo / "data"

    @contextmanager
    def services(self) -> Iterator[Endpoints]:
        """Broker, Redis, topics and a copy of the repo that names them, for the time of the context."""
        held = LocalServices(self.place.services)
        try:
            self.endpoints = held.start()
            wanted = topics.declared(HERE / "topics.yaml")
            broker.apply(self.endpoints.kafka, wanted, topics.sized(wanted, small=True))
            self.place.copy_repo(self.endpoints, REPO)
            yield self.endpoints
        finally:
            held.stop()

    def apply(self) -> None:
        """`feast apply`."""
        self.place.apply(self.endpoints)

    def feast(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the command `feast` on the repo; its output goes to a file named after it."""
        with (self.place.dir / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", APPLY, "-c", str(self.place.repo), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def materialize(self, until: datetime) -> subprocess.Popen[bytes]:
        """Start `feast materialize-incremental` of every batch view; the stream views have their own engine."""
        views = [word for view in (*VIEWS, customer_risk_fresh) for word in ("--views", view.name)]
        return self.feast("materialize-incremental", until.isoformat(), *views)

    def finished(self, process: subprocess.Popen[bytes], what: str) -> None:
        """Wait for a command of `feast`. Raises ServiceError with its last line when it failed."""
        if process.wait(PATIENCE):
            raise ServiceError(f"feast {what} failed: {self._last(what)} (log: {self.place.dir / what}.log)")

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """`tidemark stream online`, until the context ends."""
        lane = Lane(self.place.repo, self.place.dir / "checkpoint", self.place.lane_log, "--partitions", "2")
        try:
            yield lane
        finally:
            lane.stop()

    def caught_up(self, lane: Lane, messages: int) -> None:
        """Return once the lane has read so many messages since it began. Raises ServiceError."""
        late = time.monotonic() + PATIENCE
        while self.read < messages:
            lane.check()
            for report in lane.reports():
                self.read += 0 if report["repair"] else report["read"]
            if time.monotonic() > late:
                raise ServiceError(f"the lane has read {self.read} of {messages} messages: see {lane.log}")
            time.sleep(0.05)

    @contextmanager
    def server(self) -> Iterator[Client]:
        """`feast serve` on a free port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = self.feast("serve", "--port", str(port), "--no-access-log")
        url = f"http://127.0.0.1:{port}"
        try:
            self._answers(process, url)
            yield Client(url)
        finally:
            process.terminate()
            process.wait(20)

    def _answers(self, process: subprocess.Popen[bytes], url: str) -> None:
        late = time.monotonic() + PATIENCE
        while True:
            if process.poll() is not None or time.monotonic() > late:
                raise ServiceError(f"feast serve did not start: {self._last('serve')}")
            try:
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)

    def _last(self, what: str) -> str:
        lines = (self.place.dir / f"{what}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
