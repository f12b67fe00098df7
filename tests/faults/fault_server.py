"""Feast's own feature server as a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError

from redis_server import free_port

from streaming.plan import View


class Server:
    """`feast serve` on a repo."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.port = free_port()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> float:
        """Start it and wait until it answers; how long that took (s)."""
        began = time.monotonic()
        feast = Path(sys.executable).with_name("feast")
        with (self.repo.parent / "feast-serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [feast, "-c", str(self.repo), "serve", "-p", str(self.port), "--no-access-log"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
            except URLError:
                assert self._process.poll() is None, "feast serve ended"
                assert time.monotonic() - began < 120, "feast serve does not answer"
                time.sleep(0.05)
            else:
                return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, as a crash would, also of the worker that gunicorn started: it would answer on."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ask(self, view: View, keys: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Every feature of each entity."""
        names = [name for name, _ in view.join_keys]
        question = {
            "features": [f"{view.name}:{f.name}" for f in view.features],
            "entities": {name: [key[i] for key in keys] for i, name in enumerate(names)},
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/get-online-features",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
        columns = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
        return [{f.name: columns[f.name]["values"][i] for f in view.features} for i in range(len(keys))]
