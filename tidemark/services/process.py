"""A child process that outlives the command which started it, and is found again by the next one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from streaming.errors import ServiceError
from tidemark.files import write
from tidemark.services.ports import HOST, free_port, is_free, owner


@dataclass(frozen=True)
class Running:
    """A started process: `born` tells it from a later program with the same pid. Pid 0: stopped."""

    pid: int
    born: float
    port: int

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            if not self.pid:
                return False
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.born) < 1 and process.status() != psutil.STATUS_ZOMBIE
        return False


class Service(ABC):
    """One service in one directory, which holds its data, its log and the note of its process.

    `port` None takes the port of the last time, or a free one. `say` hears one line at a time about
    what was found and mended. Start and stop may be called any number of times.
    """

    name: str
    option: str
    """The command's option that chooses another port."""
    program: str
    """What the name of its process begins with."""

    def __init__(
        self, dir: Path, port: int | None = None, *, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.dir = dir.resolve()
        self.wanted = port
        self.say = say
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Prepare the directory and return the command line that serves on `port`."""

    @abstractmethod
    def answers(self, running: Running) -> bool:
        """Whether this very process serves requests now."""

    @property
    def log(self) -> Path:
        return self.dir / f"{self.name}.log"

    @property
    def _note(self) -> Path:
        return self.dir / "process.json"

    def running(self) -> Running | None:
        """The process that serves this directory, or None."""
        noted = self._noted()
        return noted if noted and noted.alive else None

    @property
    def last_port(self) -> int | None:
        """The port of the last start in this directory."""
        noted = self._noted()
        return noted.port if noted else None

    def start(self, timeout: float) -> Running:
        """Return once the service answers. Raises ServiceError with the remedy, leaving nothing behind."""
        self.dir.mkdir(parents=True, exist_ok=True)
        noted = self._noted()
        if noted and noted.alive:
            if self._answers_soon(noted):
                if self.wanted not in (None, noted.port):
                    raise ServiceError(
                        f"{self.name} already runs on port {noted.port}: stop it first to have it on {self.wanted}"
                    )
                return noted
            self.say(f"{self.name}: process {noted.pid} does not answer; stopping it and starting again")
            self.stop(timeout=5)
        elif noted and noted.pid:
            self.say(f"{self.name}: process {noted.pid} of the last time is gone; starting again on its data")
        self._stop_orphans()
        for last in (False, False, True):
            port = self._port(noted)
            try:
                return self._spawn(port, timeout)
            except PortLostError:
                if self.wanted or last:
                    raise
                noted = None
        raise AssertionError("unreachable")

    def stop(self, timeout: float = 20) -> bool:
        """Stop the process and its children; True when there was one. Data stays."""
        noted = self._noted()
        stopped = [self._end(running, timeout) for running in (noted, *self._orphans()) if running]
        if noted:
            write(self._note, json.dumps(asdict(Running(0, 0, noted.port))))
        return any(stopped)

    def kill(self) -> None:
        """End it as a crash would, with SIGKILL; the note of its process stays."""
        running = self.running()
        if running is None:
            raise ServiceError(f"{self.name} does not run in {self.dir}: nothing to kill")
        self._signal(running, signal.SIGKILL)
        self._reap(running, 10)

    def tail(self, start: int = 0, lines: int = 3) -> str:
        """The last lines of its log from byte `start` on that say something, on one line."""
        text = self.log.read_bytes()[start:].decode(errors="replace")
        kept = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in kept if not line.startswith("at ")]
        return " | ".join(telling[-lines:])[-600:] or "empty log"

    def _spawn(self, port: int, timeout: float) -> Running:
        command = self.command(port)
        with self.log.open("ab") as log:
            start = log.tell()
            self._child = subprocess.Popen(
                command,
                cwd=self.dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(self._child.pid, psutil.Process(self._child.pid).create_time(), port)
        write(self._note, json.dumps(asdict(running)))
        try:
            self._await(running, timeout, start)
        except BaseException as failed:
            self.stop(timeout=5)
            if self._port_lost(start):
                raise PortLostError(self._taken(port)) from failed
            raise
        return running

    def _await(self, running: Running, timeout: float, start: int) -> None:
        end = time.monotonic() + timeout
        while not self.answers(running):
            if self._child is not None and self._child.poll() is not None:
                code = self._child.returncode
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise ServiceError(
                    f"{self.name} died while starting ({how}): {self.tail(start)} (log: {self.log})"
                )
            if time.monotonic() > end:
                raise ServiceError(
                    f"{self.name} did not answer within {timeout:g} s: {self.tail(start)} (log: {self.log}; "
                    "TIDEMARK_START_TIMEOUT allows more)"
                )
            time.sleep(0.05)

    def _answers_soon(self, running: Running, patience: float = 10) -> bool:
        """A busy machine may keep a healthy service from answering at once."""
        end = time.monotonic() + patience
        while running.alive:
            if self.answers(running):
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return False

    def _port_lost(self, start: int) -> bool:
        with self.log.open("rb") as log:
            log.seek(start)
            return b"ddress already in use" in log.read()

    def _port(self, last: Running | None) -> int:
        wanted = self.wanted or (last.port if last and is_free(last.port) else 0) or free_port()
        if not is_free(wanted):
            raise ServiceError(self._taken(wanted))
        return wanted

    def _taken(self, port: int) -> str:
        return f"{self.name}: port {port} is taken{owner(port)}; choose another with {self.option} or stop that program"

    def _noted(self) -> Running | None:
        try:
            return Running(**json.loads(self._note.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            self.say(f"{self.name}: {self._note} is damaged and was ignored")
            return None

    def _orphans(self) -> list[Running]:
        """Processes of this directory that no note tells of: their starter was killed before it wrote one."""
        found = []
        for process in psutil.process_iter(["name", "cwd"]):
            if process.info["cwd"] == str(self.dir) and (process.info["name"] or "").startswith(self.program):
                with suppress(psutil.NoSuchProcess):
                    found.append(Running(process.pid, process.create_time(), 0))
        noted = self._noted()
        return [r for r in found if r.alive and (noted is None or noted.pid != r.pid)]

    def _stop_orphans(self) -> None:
        for orphan in self._orphans():
            self.say(
                f"{self.name}: an earlier start did not finish and left process {orphan.pid}; stopping it"
            )
            self._end(orphan, 1)

    def _end(self, running: Running, timeout: float) -> bool:
        if not running.alive:
            return False
        self._signal(running, signal.SIGTERM)
        if not self._reap(running, timeout):
            self.say(f"{self.name}: process {running.pid} did not stop within {timeout:g} s and was killed")
            self._signal(running, signal.SIGKILL)
            self._reap(running, 10)
        return True

    @staticmethod
    def _signal(running: Running, number: signal.Signals) -> None:
        """To its whole group, which it leads unless somebody else started it."""
        with suppress(ProcessLookupError):
            if os.getpgid(running.pid) == running.pid:
                os.killpg(running.pid, number)
            else:
                os.kill(running.pid, number)

    def _reap(self, running: Running, timeout: float) -> bool:
        if self._child is not None and self._child.pid == running.pid:
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
            self._child = None
            return True
        end = time.monotonic() + timeout
        while running.alive and time.monotonic() < end:
            time.sleep(0.02)
        return not running.alive


class PortLostError(ServiceError):
    """Another program took the port between the check and the bind."""
