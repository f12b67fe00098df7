"""How far an online lane has come, for readers of its rings: below these offsets, every event is in Redis."""

from __future__ import annotations

import json

from streaming.checkpoint import Entry, Offsets
from streaming.redis.bulk import Bulk


def key(project: str, identity: int) -> bytes:
    """Redis key of the progress of the lane whose checkpoint has this identity."""
    return f"tidemark:{project}:progress:{identity:016x}".encode()


def save(bulk: Bulk, project: str, identity: int, entry: Entry) -> None:
    """Say that the rings hold every batch up to `entry`. Raises RedisAway, ServiceError."""
    bulk.command("SET", key(project, identity), json.dumps({"batch": entry.batch, "end": entry.end}))


def load(bulk: Bulk, project: str, identity: int) -> Offsets:
    """The first offset of each partition that may not be in the rings; none when no batch is. Raises RedisAway."""
    held = bulk.command("GET", key(project, identity))
    return json.loads(held)["end"] if held else {}
