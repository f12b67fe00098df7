"""The HTTP API as a child process, for the demo and the benchmarks."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path

from streaming.errors import ServiceError
from tidemark.demo.lane import Child
from tidemark.services.ports import free_port


class ApiServer(Child):
    """`tidemark serve` on one repo at `url`, for this machine alone: nobody is asked who they are."""

    def __init__(self, repo: Path, log: Path, *options: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__("API", log, "serve", "--repo", str(repo), "--no-auth", "--port", str(port), *options)

    def wait(self, timeout: float = 60) -> str:
        """Its address, when it answers there. Raises ServiceError naming the log when it does not in time."""
        end = time.monotonic() + timeout
        while not self._answers():
            self.check()
            if time.monotonic() > end:
                raise ServiceError(f"the API did not answer within {timeout:.0f} s (log: {self.log})")
            time.sleep(0.1)
        return self.url

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/live", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False
