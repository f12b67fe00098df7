"""The servers that hold the data: who they are, which slots they own, whether they may drop keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from streaming.errors import ServiceError
from streaming.redis.bulk import Bulk
from streaming.redis.cluster import SLOTS, Ranges, key_slot
from streaming.redis.connection import Address

WHOLE: Ranges = ((0, SLOTS - 1),)


@dataclass(frozen=True)
class Shard:
    """A master and its slots. A Redis that is no cluster is one shard that owns them all.

    `run_id` changes whenever the process starts. `replids` are the ids of the write history it
    holds: its own, and the one it took over when it was promoted. `node_id` is its lasting name in
    a cluster, else empty.
    """

    address: Address
    slots: Ranges
    run_id: str
    replids: tuple[str, ...]
    node_id: str = ""


def shards(bulk: Bulk) -> tuple[Shard, ...]:
    """Every shard, as it is now. Raises RedisAway, ServiceError."""
    if bulk.topology is None:
        return (_shard(bulk, bulk.masters[0], WHOLE),)
    bulk.refresh()
    return tuple(_shard(bulk, address, bulk.topology.slots_of(address)) for address in bulk.masters)


def _shard(bulk: Bulk, address: Address, slots: Ranges) -> Shard:
    about: list[tuple[str, ...]] = [("INFO", "server"), ("INFO", "replication")]
    if bulk.topology is not None:
        about.append(("CLUSTER", "MYID"))
    server, replication, *node = bulk.on(address, *about)
    history = _info(replication)
    if history["role"] != "master":
        raise ServiceError(f"Redis at {address} is a replica: name its master in the connection string")
    replids = tuple(history[name] for name in ("master_replid", "master_replid2") if history[name].strip("0"))
    return Shard(address, slots, _info(server)["run_id"], replids, node[0].decode() if node else "")


def _info(reply: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


def refuse_eviction(bulk: Bulk) -> None:
    """Raise ServiceError when a server may evict keys: an evicted ring is a wrong feature."""
    for address in bulk.masters:
        policy = _info(bulk.on(address, ("INFO", "memory"))[0]).get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ServiceError(
                f"Redis at {address} may evict rings (maxmemory-policy is {policy}): "
                "set maxmemory-policy noeviction there"
            )


@cache
def slot_tags() -> tuple[str, ...]:
    """For every slot a short hash tag that hashes to it."""
    tags: dict[int, str] = {}
    number = 0
    while len(tags) < SLOTS:
        tags.setdefault(key_slot(b"%d" % number), str(number))
        number += 1
    return tuple(tags[slot] for slot in range(SLOTS))


def contains(ranges: Ranges, slot: int) -> bool:
    """Whether a slot is among them."""
    return any(first <= slot <= last for first, last in ranges)


def overlap(some: Ranges, others: Ranges) -> Ranges:
    """Slots in both."""
    return some if some == others else _ranges(_set(some) & _set(others))


def without(some: Ranges, others: Ranges) -> Ranges:
    """Slots of the first that are not in the second."""
    return () if some == others else _ranges(_set(some) - _set(others))


def union(some: Ranges, others: Ranges) -> Ranges:
    """Slots in either."""
    return some or others if not (some and others) else _ranges(_set(some) | _set(others))


def _set(ranges: Ranges) -> set[int]:
    return {slot for first, last in ranges for slot in range(first, last + 1)}


def _ranges(slots: set[int]) -> Ranges:
    found: list[tuple[int, int]] = []
    for slot in sorted(slots):
        first = found.pop()[0] if found and found[-1][1] == slot - 1 else slot
        found.append((first, slot))
    return tuple(found)
