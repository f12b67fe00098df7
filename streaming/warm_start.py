"""A local Spark's classes, loaded once and kept: a JVM that maps them need not read and check them again.

The archive (AppCDS) belongs to one Java and one class path, and lies beside the jars it is of. The JVM checks
that as well: it leaves an archive that does not fit, and everything works as without one.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyspark

from streaming.errors import ServiceError

PREFIX = "start-"
QUIET = "-Xshare:auto -Xlog:disable -Xlog:all=error:stderr"
"""The JVM would say on standard output that an archive does not fit."""


@dataclass(frozen=True)
class Archive:
    """The archive for a local Spark that has `jars`, at least one, first on its class path."""

    jars: tuple[Path, ...]

    @cached_property
    def path(self) -> Path:
        """Where it is, made or not: each Java and each state of the class path has its own."""
        return self.jars[0].parent / f"{PREFIX}{_digest([*self.jars, *_spark(), *_java()])}.jsa"

    @property
    def options(self) -> str:
        """What makes a JVM use it; nothing where it was not made."""
        if not self.path.is_file():
            return ""
        return f"{shlex.quote(f'-XX:SharedArchiveFile={self.path}')} {QUIET}"

    def make(self, patience: float = 600) -> None:
        """Make it where it is missing, from a rehearsal of half a minute, and delete those it replaces.

        Raises ServiceError when that fails or takes more than `patience` seconds.
        """
        if not self.path.is_file():
            with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=PREFIX) as folder:
                fresh = Path(folder) / "fresh.jsa"
                command = [sys.executable, "-m", "streaming.rehearsal", str(fresh), *map(str, self.jars)]
                _run(command, folder, patience)
                fresh.replace(self.path)
        for other in self.path.parent.glob(f"{PREFIX}*.jsa"):
            if other != self.path:
                other.unlink(missing_ok=True)


def _run(command: list[str], folder: str, patience: float) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"the rehearsal took more than {patience:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise ServiceError(f"the rehearsal failed: {said[-1][:200]}")


def _spark() -> list[Path]:
    return sorted((Path(pyspark.__file__).parent / "jars").iterdir())


def _java() -> list[Path]:
    """The Java that Spark's scripts choose."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    return [Path(found).resolve()] if found else []


def _digest(files: Iterable[Path]) -> str:
    states = ((str(file), file.stat()) for file in files)
    marks = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    return hashlib.blake2s(repr(marks).encode(), digest_size=8).hexdigest()
