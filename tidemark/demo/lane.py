"""Lanes and the API as child processes: reports come as lines of JSON, the log goes to a file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import psutil

from streaming.errors import ServiceError


class Child:
    """`tidemark WORDS`, or those of another `module`, called `name` where it fails.

    It leads a session of its own, so that a Ctrl-C meant for the demo reaches it through `stop` alone.
    """

    def __init__(self, name: str, log: Path, *words: str, module: str = "tidemark.cli") -> None:
        self.name, self.log = name, log
        self._lines: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._stopping = False
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name=f"{name}-reports", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.log.with_suffix(".jsonl").open("ab", buffering=0) as copy:
            for line in self.process.stdout:
                copy.write(line)
                with suppress(msgspec.DecodeError):  # anything else on its output is not a report
                    self._lines.put(msgspec.json.decode(line))

    def reports(self) -> Iterator[dict[str, Any]]:
        """What was reported since the last call, as `streaming.lanes.report` or `serving.scoring.report` says."""
        with suppress(Empty):
            while True:
                yield self._lines.get_nowait()

    def finish(self) -> Iterator[dict[str, Any]]:
        """Every report to come, until the child ends by itself. Raises ServiceError when it fails."""
        self.process.wait()
        self._reader.join()
        if self.process.returncode:
            self.check()
        yield from self.reports()

    def check(self) -> None:
        """Raises ServiceError with its last word when the child has ended by itself."""
        code = self.process.poll()
        if code is not None and not self._stopping:
            raise ServiceError(
                f"the {self.name} ended (exit code {code}): {self.last_words()} (log: {self.log})"
            )

    def last_words(self) -> str:
        """The last line of its log that is no stack trace."""
        kept = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        telling = [line for line in kept if line and not line.startswith(("at ", "File ", "..."))]
        return telling[-1][-400:] if telling else "it said nothing"

    def stop(self, timeout: float = 20) -> None:
        """Let the running batch end; what is left after `timeout` seconds is killed, its children too."""
        self._stopping = True
        children = self.children()
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _, alive = psutil.wait_procs(children, timeout=5)
        for survivor in alive:
            with suppress(psutil.NoSuchProcess):
                survivor.kill()
        psutil.wait_procs(alive, timeout=5)
        self._reader.join(5)

    def children(self) -> list[psutil.Process]:
        """Spark's JVM and its workers, as far as they run now."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []


class Lane(Child):
    """`tidemark stream online --json` on one repo."""

    def __init__(self, repo: Path, checkpoint: Path, log: Path, *options: str) -> None:
        words = ("stream", "online", "--repo", str(repo), "--checkpoint", str(checkpoint), "--json", *options)
        super().__init__("online lane", log, *words)
