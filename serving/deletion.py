"""Taking a view, or whole entities, out of Redis without touching what others keep in the same hashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from streaming.plan import Plan
from streaming.redis.meta import meta_key
from streaming.redis.wire import EntityKeys, feature_field, timestamp_field
from streaming.ring import RingCodec

CHUNK = 1_000
"""Keys handled in one round trip."""
NUMBERS = ("INT32", "INT64", "UNIX_TIMESTAMP")
"""Types of join keys that are no text."""


def delete_plan(repo: Path, plan: Plan) -> dict[str, int]:
    """Remove the views of a plan from the online store of a Feast repo, with what is noted of them.

    Returns how many entities each had.
    """
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(repo))
    client = store._get_provider().online_store._get_client(store.config.online_store)  # type: ignore[attr-defined]
    deleted = {}
    for view in plan.views:
        keys = EntityKeys(view.project, view.join_keys)
        names = [feature.name for feature in view.features]
        deleted[view.name] = delete_view(client, keys, view.stored_name, RingCodec(view).fields, names)
        client.delete(meta_key(view.project, view.stored_name))
    return deleted


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
    return sum(_delete(client, chunk) for chunk in _chunks(client, keys))


def delete_project(client: Any, project: str) -> None:
    """Remove every entity of a project, and what the engine notes of it: layouts, markers, leases."""
    marks = ("", "lease:", "marker:", "marker:{*}:")
    notes = chain(*(client.scan_iter(f"tidemark:{mark}{project}:*", count=CHUNK) for mark in marks))
    mine = project.encode()
    entities = (key for key in client.scan_iter(b"*" + mine, count=CHUNK) if project_of(key) == mine)
    for keys in (notes, entities):
        while chunk := list(islice(keys, CHUNK)):
            _delete(client, chunk)


def project_of(key: bytes) -> bytes | None:
    """The project at the end of an entity's Redis key; None when the key is not an entity's.

    SCAN cannot tell: a pattern also matches a project whose name ends with the one wanted.
    """
    count, place = int.from_bytes(key[:4], "little"), 4
    if key[4:8] != b"\2\0\0\0":
        return None
    for _ in range(2 * count):
        place += 8 + int.from_bytes(key[place + 4 : place + 8], "little")
        if place > len(key):
            return None
    return key[place:]


def _delete(client: Any, keys: list[bytes]) -> int:
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.delete(key)
        return sum(pipe.execute())


def _chunks(client: Any, keys: EntityKeys) -> Iterator[list[bytes]]:
    project = keys.project.encode()
    matching = client.scan_iter(keys.pattern, count=CHUNK)
    found = (key for key in matching if key.startswith(keys.prefix) and project_of(key) == project)
    while chunk := list(islice(found, CHUNK)):
        yield chunk


def delete_entity(client: Any, plan: Plan, name: str, value: str) -> int:
    """Remove every hash of an entity: its own, and those of pairs that it is part of. Returns how many there were."""
    return sum(_delete(client, chunk) for chunk in _of_entity(client, plan, name, value))


def entity_left(client: Any, plan: Plan, name: str, value: str) -> int:
    """How many hashes an entity has, alone or as part of a pair."""
    return sum(client.exists(key) for chunk in _of_entity(client, plan, name, value) for key in chunk)


def _of_entity(client: Any, plan: Plan, name: str, value: str) -> Iterator[list[bytes]]:
    found = {(view.project, view.join_keys) for view in plan.views if name in dict(view.join_keys)}
    for project, join_keys in sorted(found):
        keys = EntityKeys(project, join_keys)
        if len(join_keys) == 1:
            number = join_keys[0][1] in NUMBERS
            yield keys.encode([int(value) if number else value])
            continue
        # A pair's key begins with names alone, so the values have to be looked at.
        for chunk in _chunks(client, keys):
            mine = [key for key in chunk if _values(key, keys).get(name) == value]
            if mine:
                yield mine


def _values(key: bytes, keys: EntityKeys) -> dict[str, str]:
    """Join keys of an entity's Redis key, as text."""
    place, found = len(keys.prefix), {}
    for name, dtype in sorted(keys.join_keys):
        size = int.from_bytes(key[place + 4 : place + 8], "little")
        raw = key[place + 8 : place + 8 + size]
        number = dtype in NUMBERS
        found[name] = (
            str(int.from_bytes(raw, "little", signed=True)) if number else raw.decode(errors="replace")
        )
        place += 8 + size
    return found
