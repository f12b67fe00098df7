"""A real InfluxDB of Debian (1.6) for tests, and its questions."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemark.services.ports import free_port

MISSING = "no influxd: apt install influxdb"


@dataclass(frozen=True)
class Server:
    port: int

    def ask(self, statement: str, **more: str) -> list[dict[str, Any]]:
        """The rows that a statement of InfluxQL gives."""
        query = urllib.parse.urlencode({"q": statement, "epoch": "ns", **more}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/query", query, timeout=10) as answer:
            (result,) = json.load(answer)["results"]
        return [
            dict(zip(series["columns"], row, strict=True)) | series.get("tags", {})
            for series in result.get("series", [])
            for row in series["values"]
        ]


@contextmanager
def influx(folder: Path) -> Iterator[Server]:
    port, rpc = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\n'
    )
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([shutil.which("influxd"), "-config", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1)
                break
            assert process.poll() is None, (folder / "log").read_text()[-500:]
            time.sleep(0.05)
        server = Server(port)
        server.ask("CREATE DATABASE telemetry")
        yield server
    finally:
        process.kill()
        process.wait()
