"""Taking a view, or whole entities, out of Redis without touching what others keep in the same hashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from streaming.redis.wire import EntityKeys, feature_field, timestamp_field

CHUNK = 1_000
"""Keys handled in one round trip."""


def delete_view(
    client: Any, keys: EntityKeys, stored_name: str, rings: Sequence[bytes], features: Iterable[str]
) -> int:
    """Remove a view's fields from every entity of `keys`, and hashes that hold nothing else.

    `rings` are the fields of its ring. Returns how many entities had some of it.
    """
    stamp = timestamp_field(stored_name)
    mine = {*rings, stamp, *(feature_field(stored_name, feature) for feature in features)}
    deleted = 0
    for chunk in _chunks(client, keys):
        with client.pipeline(transaction=False) as pipe:
            for key in chunk:
                pipe.hkeys(key)
            held = pipe.execute()
        with client.pipeline(transaction=False) as pipe:
            for key, fields in zip(chunk, held, strict=True):
                if mine.isdisjoint(fields):
                    continue
                deleted += 1
                if any(field not in mine and field.startswith((b"_ts:", b"_ring:")) for field in fields):
                    pipe.hdel(key, *mine)
                else:
                    pipe.delete(key)
            pipe.execute()
    return deleted


def delete_entities(client: Any, keys: EntityKeys) -> int:
    """Remove every entity of `keys` with all that any view keeps of it. Returns how many there were."""
    deleted = 0
    for chunk in _chunks(client, keys):
        with client.pipeline(transaction=False) as pipe:
            for key in chunk:
                pipe.delete(key)
            deleted += sum(pipe.execute())
    return deleted


def delete_notes(client: Any, project: str) -> None:
    """Remove all that the engine notes of a project: layouts, completeness, markers, leases."""
    for key in client.scan_iter(f"tidemark:{project}:*", count=CHUNK):
        client.delete(key)


def belongs(key: bytes, keys: EntityKeys) -> bool:
    """Whether a Redis key is of an entity with exactly these join keys, in exactly this project.

    SCAN cannot tell: its pattern also matches a project whose name ends with this one.
    """
    place = len(keys.prefix)
    if not key.startswith(keys.prefix):
        return False
    for _ in keys.join_keys:
        place += 8 + int.from_bytes(key[place + 4 : place + 8], "little")
    return key[place:] == keys.project.encode()


def _chunks(client: Any, keys: EntityKeys) -> Iterator[list[bytes]]:
    found = (key for key in client.scan_iter(keys.pattern, count=CHUNK) if belongs(key, keys))
    while chunk := list(islice(found, CHUNK)):
        yield chunk
