"""A PostgreSQL server of the example's own, where no database is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from streaming.errors import ServiceError
from tidemark.services.ports import HOST, free_port

USER = "tidemark"


def programs() -> Path:
    """The folder of initdb and postgres. Raises ServiceError naming the package when there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not debian:
        raise ServiceError(
            "no PostgreSQL on this machine: apt install postgresql, or name a database in TIDEMARK_FRAUD_POSTGRES"
        )
    return debian[-1]


@contextmanager
def database(folder: Path, uri: str = "") -> Iterator[str]:
    """The URI of a database: `uri`, else one of a fresh server in `folder`, which goes with the context."""
    if uri:
        yield uri
        return
    held, account, data = programs(), _account(), folder / "postgres" / "data"
    shutil.rmtree(data.parent, ignore_errors=True)
    data.mkdir(parents=True)
    if account:
        # The server refuses root, and must reach its own folder.
        shutil.chown(data.parent, account)
        shutil.chown(data, account)
        for parent in (data.parent, *data.parent.parents):
            if not parent.stat().st_mode & 0o005:
                raise ServiceError(
                    f"{account} cannot read {parent}, as PostgreSQL must: set TIDEMARK_FRAUD_FOLDER"
                )
    made = [str(held / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
    done = subprocess.run(made, capture_output=True, text=True, user=account, cwd=data, check=False)
    if done.returncode:
        raise ServiceError(f"initdb failed ({done.stderr.strip().splitlines()[-1]}): see {data.parent}")
    port = free_port()
    options = [
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        HOST,
        "-k",
        "",
        "-c",
        "fsync=off",
        "-c",
        "max_wal_size=2GB",
        # Feast joins by keys made in subqueries, which the planner knows nothing of: it takes them for a row or two.
        "-c",
        "enable_nestloop=off",
    ]
    with (data.parent / "log").open("ab") as log:
        server = subprocess.Popen(
            [str(held / "postgres"), *options], user=account, stdout=log, stderr=log, cwd=data
        )
    try:
        yield _answering(
            f"postgresql://{USER}@{HOST}:{port}/postgres?connect_timeout=5", server, data.parent / "log"
        )
    finally:
        # At once: it waits for its clients otherwise.
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(5)
        server.kill()
        server.wait()


def _answering(uri: str, server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            psycopg.connect(uri).close()
            return uri
        time.sleep(0.1)
    raise ServiceError(f"PostgreSQL did not start ({log.read_text().strip().splitlines()[-1:]}): see {log}")


def _account() -> str | None:
    """Whom to run it as: a machine's root may not."""
    if os.geteuid():
        return None
    import pwd

    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"
