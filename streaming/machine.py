"""What a lane takes of its machine: processor, memory and disk of its own process and of its children."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from streaming import metrics

JAVA, WORKER, MAIN = "java", "worker", "main"
"""Kinds of processes: Spark's JVM, Spark's Python workers, and the program itself."""
PAUSE = 60.0
"""Seconds between two looks at every file of a folder."""


class Machine:
    """Brings the metrics of this process, its children and `folders` (by name) up to date when asked."""

    def __init__(
        self, folders: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._measured: dict[str, float] = {}
        self.folders = {name: Path(path) for name, path in (folders or {}).items() if "://" not in path}
        self._main = psutil.Process()
        self._seen: dict[tuple[int, float], tuple[float, int, int]] = {}
        """By process: seconds of CPU, bytes read and written, so far."""

    def refresh(self) -> None:
        """Read it all anew. A process that ends meanwhile is left out."""
        memory = dict.fromkeys((MAIN, JAVA, WORKER), 0)
        alive = {}
        for kind, process in self._processes():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied), process.oneshot():
                memory[kind] += process.memory_info().rss
                key = process.pid, process.create_time()
                alive[key] = self._count(kind, key, process)
        self._seen = alive
        for kind, size in memory.items():
            metrics.PROCESS_MEMORY.labels(kind).set(size)
        for name, folder in self.folders.items():
            with suppress(OSError):
                usage = shutil.disk_usage(_existing(folder))
                metrics.DISK_FREE.labels(name).set(usage.free)
            if self.clock() >= self._measured.get(name, float("-inf")) + PAUSE:
                self._measured[name] = self.clock()
                metrics.DISK_USED.labels(name).set(_size(folder))

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        yield MAIN, self._main
        for child in self._main.children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                yield JAVA if child.name() == "java" else WORKER, child

    def _count(self, kind: str, key: tuple[int, float], process: psutil.Process) -> tuple[float, int, int]:
        times = process.cpu_times()
        read = written = 0
        with suppress(psutil.AccessDenied, AttributeError):
            disk = process.io_counters()
            read, written = disk.read_bytes, disk.write_bytes
        now = times.user + times.system, read, written
        before = self._seen.get(key, (0.0, 0, 0))
        metrics.PROCESS_CPU.labels(kind).inc(max(0.0, now[0] - before[0]))
        metrics.PROCESS_DISK.labels(kind, "read").inc(max(0, now[1] - before[1]))
        metrics.PROCESS_DISK.labels(kind, "written").inc(max(0, now[2] - before[2]))
        return now


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
