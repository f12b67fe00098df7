"""Crashes on purpose, so that tests can put one at the worst moment. Nothing happens unless it is asked for.

TIDEMARK_FAILPOINTS=pipeline:2,send:500 ends a process, as SIGKILL would, when it comes to `pipeline`
for the second time, and another one at its 500th `send`; each of them once in the life of the
folder TIDEMARK_FAILPOINTS_DIR.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class FailpointSettings(BaseSettings):
    """Where to crash, and the folder that remembers which crashes have been."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    failpoints: str = ""
    failpoints_dir: Path = Path("failpoints")


_settings = FailpointSettings()
_hits: Counter[str] = Counter()
_at = {name: int(hit) for name, _, hit in (p.partition(":") for p in _settings.failpoints.split(",") if p)}
ARMED = bool(_at)


def reach(name: str) -> None:
    """Crash here if that was asked for and has not been."""
    if name not in _at:
        return
    _hits[name] += 1
    if _hits[name] != _at[name]:
        return
    _settings.failpoints_dir.mkdir(parents=True, exist_ok=True)
    try:
        (_settings.failpoints_dir / name).touch(exist_ok=False)
    except FileExistsError:
        return
    os._exit(137)
