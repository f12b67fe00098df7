"""What conf/topics.yaml declares: topics, their partitions and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from streaming.errors import TidemarkError


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One topic: its partitions, those of `--small`, and settings of its own."""

    partitions: int
    small: int = 0
    config: dict[str, str] = {}


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: settings for all topics, and the topics."""

    topics: dict[str, Topic]
    config: dict[str, str] = {}
    replication_factor: int = -1
    """-1 is the broker's default."""


def declared(path: Path) -> Declared:
    """Read the file. Raises TidemarkError naming what is wrong in it."""
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Declared)
    except FileNotFoundError:
        raise TidemarkError(f"{path} does not exist: name the folder of conf/ in TIDEMARK_CONF_DIR") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as wrong:
        raise TidemarkError(f"{path}: {wrong}; correct it") from None


def sized(file: Declared, *, small: bool = False, overrides: Sequence[str] = ()) -> dict[str, int]:
    """Partitions of each topic. An override is `N` for all topics or `topic=N` for one."""
    sizes = {name: (t.small or t.partitions) if small else t.partitions for name, t in file.topics.items()}
    for override in sorted(overrides, key=lambda text: "=" in text):
        name, _, number = override.rpartition("=")
        if not number.isdigit() or int(number) < 1:
            raise TidemarkError(f"--partitions {override}: write N or topic=N with N of at least 1")
        if name and name not in sizes:
            raise TidemarkError(f"--partitions {override}: no such topic; there are {', '.join(sizes)}")
        sizes.update({name: int(number)} if name else dict.fromkeys(sizes, int(number)))
    return sizes
