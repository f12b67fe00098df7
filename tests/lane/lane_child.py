"""The lane as a process of its own, to be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lane_world import World

ONLINE = (sys.executable, "-m", "tidemark.cli", "stream", "online")


class Child:
    """`command` with what a small lane of `world` needs; `lines` grows by each batch it reports."""

    def __init__(
        self, world: World, *options: str, command: Sequence[str] = ONLINE, **environment: str
    ) -> None:
        self.lines: list[dict[str, Any]] = []
        self.log = world.repo.parent / f"child-{time.monotonic_ns()}.log"
        settings = {
            "TIDEMARK_UPDATES_TOPIC": world.updates,
            "TIDEMARK_DEAD_LETTER_TOPIC": world.dead,
            "TIDEMARK_DRIVER_MEMORY": "1g",
            "TIDEMARK_PARTITIONS": "2",
        }
        place = ["--repo", str(world.repo), "--checkpoint", str(world.checkpoint), "--json"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *place, *options],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env={**os.environ, **settings, **environment},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            # spark-submit sends standard error the same way.
            if line.startswith(b'{"batch":'):
                self.lines.append(json.loads(line))
            else:
                with self.log.open("ab") as log:
                    log.write(line)

    def until(self, happened: Callable[[], object], seconds: float = 180) -> None:
        """Wait until `happened()`; fails when the process ends or time runs out before."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def wait(self, seconds: float = 240) -> int:
        """Its exit code, with every line read."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.said) from None
        self._reader.join(10)
        return code

    def kill(self) -> None:
        """SIGKILL of the driver alone, as the kernel would."""
        self.process.kill()
        self.process.wait()

    @property
    def said(self) -> str:
        """The end of what it wrote to standard error."""
        return self.log.read_text(errors="replace")[-4000:]

    @property
    def error(self) -> str:
        """The last line of standard error."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


@contextlib.contextmanager
def child(world: World, *options: str, **environment: str) -> Iterator[Child]:
    """A lane that is gone at the end, with everything that it has started."""
    running = Child(world, *options, **environment)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()


def fired(directory: Path) -> set[str]:
    """Names of the failpoints that have been."""
    return {path.name for path in directory.iterdir()} if directory.exists() else set()
