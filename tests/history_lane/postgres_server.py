"""A PostgreSQL server of our own, in a folder that goes with it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

MISSING = "no PostgreSQL server on this machine: apt install postgresql (or put initdb and postgres on PATH)"


def binaries() -> Path | None:
    """The folder of initdb and postgres: that of PATH, else Debian's newest."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda p: int(p.parent.name))


@dataclass
class Server:
    """Call `start` and `stop` as often as wanted; the data stays."""

    bin: Path
    data: Path
    port: int
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"postgresql://tidemark@127.0.0.1:{self.port}/postgres?connect_timeout=5"

    def start(self) -> None:
        options = ["-D", str(self.data), "-p", str(self.port), "-k", str(self.data), "-c", "fsync=off"]
        with (self.data.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.bin / "postgres"), *options], user=self.user, stdout=log, stderr=log, cwd=self.data
            )
        deadline = time.monotonic() + 60
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.uri).close()
                return
            assert time.monotonic() < deadline, (self.data.parent / "log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                # It waits for its clients otherwise.
                self.process.kill()
                self.process.wait()
            self.process = None


@contextmanager
def server() -> Iterator[Server]:
    """A fresh server, started. It refuses to run as root, so it then runs as the user postgres or nobody."""
    folder = binaries()
    assert folder is not None, MISSING
    user = None
    if getpass.getuser() == "root" or os.geteuid() == 0:
        user = "postgres" if shutil.which("id") and _exists("postgres") else "nobody"
    with tempfile.TemporaryDirectory(prefix="tidemark-postgres-") as held, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        root = Path(held)
        root.chmod(0o755)
        data = root / "data"
        data.mkdir()
        if user:
            shutil.chown(data, user)
        subprocess.run(
            [
                str(folder / "initdb"),
                "-D",
                str(data),
                "-U",
                "tidemark",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd=data,
        )
        running = Server(folder, data, port, user)
        running.start()
        try:
            yield running
        finally:
            running.stop()


def _exists(user: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
