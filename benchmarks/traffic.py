"""Traffic from a process of its own: what measures here would otherwise wait for Python's lock while events are made."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.synchronize import Event
from typing import Any

from generators.hostile import Hostility
from streaming.errors import ServiceError
from tidemark.demo.traffic import Traffic


class Apart:
    """All three streams at `rate` events a second from `start` to `stop`."""

    def __init__(self, bootstrap: str, rate: float, hostility: Hostility) -> None:
        context = multiprocessing.get_context("spawn")
        self._halt, self._sent = context.Event(), context.Value("q", 0)
        arguments = bootstrap, rate, hostility, self._halt, self._sent
        self._process = context.Process(target=_produce, args=arguments, name="traffic", daemon=True)

    @property
    def sent(self) -> int:
        """Events so far. Raises ServiceError when the process has ended."""
        if not self._process.is_alive():
            raise ServiceError(
                f"the traffic ended (exit code {self._process.exitcode}): see what it said above"
            )
        return int(self._sent.value)

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        """End it; what is on its way need not arrive."""
        self._halt.set()
        if self._process.pid is not None:
            self._process.join(20)
            self._process.kill()


def _produce(bootstrap: str, rate: float, hostility: Hostility, halt: Event, sent: Any) -> None:
    traffic, parent = Traffic(bootstrap, rate, hostility), os.getppid()
    traffic.start()
    while not halt.wait(0.2) and traffic.is_alive() and os.getppid() == parent:
        sent.value = traffic.tally.sent
    traffic.abandon()
    traffic.check()
