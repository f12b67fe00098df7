"""Spark's own cluster manager on this machine: a master and workers from the spark-class of the wheel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tidemark.services.ports import free_port


class Standalone:
    """`url` is what --master wants. A worker leads a session of its own, with its executors."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.workers: list[subprocess.Popen[bytes]] = []
        port = free_port()
        self.url = f"spark://127.0.0.1:{port}"
        self._master = self._run(
            "master", "org.apache.spark.deploy.master.Master", "--port", str(port), "--webui-port", "0"
        )
        self._until("master", "New state: ALIVE")

    def add(self, cores: int = 1, memory: str = "1g") -> subprocess.Popen[bytes]:
        """Start a worker and wait until the master has it."""
        name = f"worker-{len(self.workers)}"
        options = ("--cores", str(cores), "--memory", memory, "--webui-port", "0")
        place = ("--work-dir", str(self.directory / name))
        worker = self._run(name, "org.apache.spark.deploy.worker.Worker", *options, *place, self.url)
        self.workers.append(worker)
        self._until(name, "Successfully registered with master")
        return worker

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """SIGKILL of a worker and of its executors."""
        _end(worker)

    def close(self) -> None:
        for process in (*self.workers, self._master):
            _end(process)

    def _run(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        self.directory.mkdir(parents=True, exist_ok=True)
        main, *options = words
        script = Path(sys.executable).with_name("spark-class")
        settings = {
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
        }
        with (self.directory / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [str(script), main, "--host", "127.0.0.1", *options],
                stdout=log,
                stderr=log,
                env={**os.environ, **settings},
                start_new_session=True,
            )

    def _until(self, name: str, said: str, seconds: float = 90) -> None:
        log, deadline = self.directory / f"{name}.log", time.monotonic() + seconds
        while said not in log.read_text(errors="replace"):
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def standalone(directory: Path, workers: int = 2) -> Iterator[Standalone]:
    """A master and workers of one core each, gone at the end."""
    cluster = Standalone(directory)
    try:
        for _ in range(workers):
            cluster.add()
        yield cluster
    finally:
        cluster.close()
