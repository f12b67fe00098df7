"""Lanes stand back behind what must answer at once on the same machine: Redis, the broker, scoring, the API."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

GROUP = Path("/proc/self/autogroup")
"""Linux shares processors out between sessions first; this is the nice value of a whole session."""


def stand_back(nice: int, group: Path = GROUP) -> None:
    """Lower the priority of this process, and of those it starts, to `nice` (0 to 19); never raise it.

    Also of its session where it leads one, as a service or a container does, so that a person's shell keeps its own.
    """
    os.nice(max(nice - os.nice(0), 0))
    if nice and os.getsid(0) == os.getpid() and group.exists():
        with suppress(OSError):  # a kernel, or a container, that does not let one
            group.write_text(str(nice))
