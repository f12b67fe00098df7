"""The jars of Spark and of the broker: pinned in conf/ivy.xml, checked against conf/jars.sha256.

Ivy (the one inside pyspark) downloads them into a private directory; a file moves into the cache
only when its checksum is right, so the cache never holds a jar that nobody checked.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyspark
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from streaming.errors import ServiceError
from tidemark.files import write
from tidemark.java import java
from tidemark.settings import LocalSettings, local_settings

CONFIGURATIONS = ("spark", "broker")
Advance = Callable[[int], None]


def spark_jars(settings: LocalSettings | None = None) -> list[Path]:
    """Jars for Spark's classpath, fetched first where they are missing or damaged."""
    return Jars(settings or local_settings()).ensure("spark")


def broker_jars(settings: LocalSettings | None = None) -> list[Path]:
    """Jars of the Kafka broker, fetched first where they are missing or damaged."""
    return Jars(settings or local_settings()).ensure("broker")


@dataclass(frozen=True)
class Jars:
    """The cache of jars that `settings` describe."""

    settings: LocalSettings
    wait: float = 1.0
    """Seconds before the second attempt; doubled for each further one."""
    attempts: int = 4

    @property
    def dir(self) -> Path:
        return self.settings.cache_dir / "jars"

    @cached_property
    def expected(self) -> dict[str, str]:
        """Checksum of each jar, by `configuration/file`."""
        lines = (self.settings.conf_dir / "jars.sha256").read_text().splitlines()
        pairs = (line.split() for line in lines if line.strip() and not line.startswith("#"))
        return {name: digest for digest, name in pairs}

    def ensure(self, configuration: str, *, quiet: bool = False) -> list[Path]:
        """Paths of a configuration's jars, all present and checked.

        Raises ServiceError when a jar cannot be had or is not the one that conf/jars.sha256 names.
        """
        names = sorted(n for n in self.expected if n.startswith(configuration + "/"))
        if self._wrong(names):
            with self._lock():
                missing = self._wrong(names)
                if missing:
                    self._fetch(configuration, missing, quiet)
        return [self.dir / n for n in names]

    def _wrong(self, names: list[str]) -> list[str]:
        """Names that are absent or damaged; a damaged file is removed."""
        before = self._checked()
        known = dict(before)
        wrong = []
        for name in names:
            path = self.dir / name
            if not path.is_file():
                wrong.append(name)
            elif known.get(name) != self._mark(path, self.expected[name]):
                if _sha256(path) == self.expected[name]:
                    known[name] = self._mark(path, self.expected[name])
                else:
                    path.unlink()
                    wrong.append(name)
        if known != before:
            write(self._notes, json.dumps(known))
        return wrong

    @property
    def _notes(self) -> Path:
        return self.dir / "checked.json"

    def _checked(self) -> dict[str, list[object]]:
        """What was hashed before: reading 65 MB again on every start would be felt."""
        try:
            notes = json.loads(self._notes.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    @staticmethod
    def _mark(path: Path, digest: str) -> list[object]:
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns, digest]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.dir.mkdir(parents=True, exist_ok=True)
        with (self.dir / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _fetch(self, configuration: str, missing: list[str], quiet: bool) -> None:
        console = Console(stderr=True, quiet=quiet, soft_wrap=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"jars for {configuration}", total=len(missing))
            attempts = Retrying(
                stop=stop_after_attempt(self.attempts),
                wait=wait_exponential(self.wait),
                retry=retry_if_result(lambda problem: problem is not None),
                before_sleep=lambda state: console.print(f"jars: {state.outcome.result()}; trying again"),  # type: ignore[union-attr]
            )
            try:
                attempts(self._attempt, configuration, missing, lambda n: progress.update(task, completed=n))
            except RetryError as failed:
                raise ServiceError(
                    f"jars: {failed.last_attempt.result()} after {self.attempts} attempts; check the network, or "
                    "name a mirror's ivysettings.xml in TIDEMARK_IVY_SETTINGS (log: "
                    f"{self.dir / 'ivy.log'})"
                ) from None
        console.print(f"jars: {len(missing)} fetched for {configuration}", highlight=False)

    def _attempt(self, configuration: str, missing: list[str], advance: Advance) -> str | None:
        """One run of Ivy. Says what went wrong, or None when nothing is missing any more."""
        with tempfile.TemporaryDirectory(dir=self.dir, prefix="fetch-") as tmp:
            complaint = self._ivy(configuration, Path(tmp), advance)
            left = []
            for name in missing:
                got = Path(tmp) / name
                if not got.is_file():
                    left.append(complaint or f"{name} was not found")
                elif _sha256(got) != self.expected[name]:
                    left.insert(0, f"{name} has another checksum than conf/jars.sha256")
                    self._forget(got.name)
                else:
                    (self.dir / name).parent.mkdir(exist_ok=True)
                    got.replace(self.dir / name)
        if not left:
            shutil.rmtree(self.settings.cache_dir / "ivy", ignore_errors=True)
            return None
        return left[0]

    def _ivy(self, configuration: str, target: Path, advance: Advance) -> str:
        """Run Ivy into `target`; returns its first complaint, or nothing."""
        ivy = next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"), None)
        if ivy is None:
            raise ServiceError("pyspark holds no Ivy: install pyspark again (make clean setup)")
        chosen = self.settings.ivy_settings
        if chosen and not chosen.is_file():
            raise ServiceError(f"TIDEMARK_IVY_SETTINGS names {chosen}, which is not a file")
        command = [str(java(self.settings.java_home)), "-jar", str(ivy)]
        command += ["-settings", str(chosen)] if chosen else []
        command += ["-ivy", str(self.settings.conf_dir / "ivy.xml"), "-confs", configuration]
        command += ["-cache", str(self.settings.cache_dir / "ivy"), "-types", "jar", "bundle"]
        command += ["-retrieve", f"{target}/[conf]/[artifact]-[revision].[ext]"]
        complaint, done = "", 0
        with (
            (self.dir / "ivy.log").open("w") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run,
        ):
            try:
                for line in run.stdout or ():
                    log.write(line)
                    done += "[SUCCESSFUL ]" in line
                    advance(done)
                    complaint = complaint or _complaint(line)
            except BaseException:
                run.kill()
                raise
        return complaint

    def _forget(self, file: str) -> None:
        """Remove a damaged download from Ivy's own cache, or it would be copied again."""
        for path in (self.settings.cache_dir / "ivy").rglob(file):
            path.unlink()


def _complaint(line: str) -> str:
    """What went wrong, when this line of Ivy's log tells it."""
    unresolved = re.search(r":: (\S+#\S+;\S+: .*?)\s*(::)?$", line)
    if unresolved:
        return unresolved[1]
    return line.strip()[:200] if re.search(r"Server access error|Exception|\[FAILED", line, re.I) else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
