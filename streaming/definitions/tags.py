"""What Feast has no field for and a definition says in its tags. Tags of other names are left alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from feast.data_source import DataSource

from streaming.errors import DefinitionError

STREAM = "stream"
"""Sources that say the same here are one stream: a KafkaSource for each view, as each has its own batch source."""

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def stream_name(source: DataSource) -> str:
    """What a source is called by the engine: its tag `stream`, or its name."""
    return source.tags.get(STREAM, "") or source.name


def milliseconds(tags: Mapping[str, str], name: str, default: int) -> int:
    """A duration such as `500ms`, `5s`, `2m` or `1h`. Raises DefinitionError on anything else."""
    if name not in tags:
        return default
    found = re.fullmatch(r"\s*(\d+)\s*(ms|s|m|h)\s*", tags[name])
    if found is None:
        raise DefinitionError(f"tag {name}={tags[name]!r} is not a duration: write it like '5s' or '500ms'")
    return int(found[1]) * UNITS[found[2]]


def flag(tags: Mapping[str, str], name: str, default: bool) -> bool:
    """`true` or `false`. Raises DefinitionError on anything else."""
    if name not in tags:
        return default
    value = tags[name].strip().lower()
    if value not in ("true", "false"):
        raise DefinitionError(f"tag {name}={tags[name]!r} is neither 'true' nor 'false': write one of them")
    return value == "true"


def number(tags: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number from `low` to `high`. Raises DefinitionError on anything else."""
    if name not in tags:
        return default
    text = tags[name].strip()
    if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
        raise DefinitionError(
            f"tag {name}={tags[name]!r} is not a whole number from {low} to {high}: write one"
        )
    return int(text)
