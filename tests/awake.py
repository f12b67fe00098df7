"""Time that passes only while this process is let run, for time-outs on machines that are stopped and resumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Awake(threading.Thread):
    """A clock of the time (s) that this process was let run: it stands while the machine, or the process, is stopped."""

    STEP = 0.05

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._seconds, self._last = 0.0, time.monotonic()
        self.start()

    def run(self) -> None:
        while True:
            time.sleep(self.STEP)
            now = time.monotonic()
            self._seconds += min(now - self._last, 20 * self.STEP)
            self._last = now

    def __call__(self) -> float:
        return self._seconds


def wait_awake(happened: Callable[[], object], seconds: float = 120) -> None:
    """Return once `happened()`; raise TimeoutError when it has not within so much time awake."""
    waited, last = 0.0, time.monotonic()
    while not happened():
        time.sleep(Awake.STEP)
        now = time.monotonic()
        waited, last = waited + min(now - last, 1.0), now
        if waited > seconds:
            raise TimeoutError(f"did not happen within {seconds:.0f} s")
