"""Where the keys of a Redis Cluster live.

Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ (hash slot = CRC16
of the key, or of its hash tag, modulo 16384; CRC16 is the XMODEM form, which is binascii.crc_hqx).
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hiredis

from streaming.errors import ServiceError
from streaming.redis.connection import Address, Connection
from streaming.redis.pump import ask

SLOTS = 16384

_TAG = re.compile(rb"[^{]*\{([^}]+)\}", re.DOTALL)


def key_slot(key: bytes) -> int:
    """Hash slot of a key: only what is between the first { and the next } counts, unless that is empty."""
    if tag := _TAG.match(key):
        key = tag[1]
    return crc_hqx(key, 0) % SLOTS


def key_slots(keys: Sequence[bytes]) -> list[int]:
    """Hash slot of each key."""
    return [crc_hqx(k, 0) % SLOTS if b"{" not in k else key_slot(k) for k in keys]


@dataclass(frozen=True)
class Topology:
    """Which master serves each slot; None where nobody does."""

    owners: tuple[Address | None, ...]

    @property
    def masters(self) -> tuple[Address, ...]:
        """Masters that serve slots, ordered by their first slot."""
        return tuple(dict.fromkeys(owner for owner in self.owners if owner))

    def slots_of(self, master: Address) -> tuple[tuple[int, int], ...]:
        """Inclusive ranges of the slots of a master."""
        ranges: list[tuple[int, int]] = []
        for slot, owner in enumerate(self.owners):
            if owner != master:
                continue
            if ranges and ranges[-1][1] == slot - 1:
                ranges[-1] = (ranges[-1][0], slot)
            else:
                ranges.append((slot, slot))
        return tuple(ranges)


def topology(connection: Connection) -> Topology:
    """The slot map as this node knows it. Raises ServiceError when it is no cluster."""
    reply = ask(connection, ("CLUSTER", "SLOTS"))[0]
    if isinstance(reply, hiredis.ReplyError):
        raise ServiceError(
            f"Redis at {connection.address} is not a cluster ({reply}): set redis_type: redis in feature_store.yaml"
        )
    owners: list[Address | None] = [None] * SLOTS
    for first, last, master, *_ in reply:
        owners[first : last + 1] = [node_address(master[0], master[1], connection)] * (last - first + 1)
    return Topology(tuple(owners))


def node_address(host: Any, port: Any, seen_from: Connection) -> Address:
    """Address of a node in a reply; without a host it is that of the node that replied."""
    name = host.decode() if isinstance(host, bytes) else host
    return Address(name if name and name != "?" else seen_from.address.host, int(port))


def redirection(error: Exception, seen_from: Connection) -> tuple[str, Address] | None:
    """("MOVED" or "ASK", the node to ask instead), or None for another error."""
    kind, *rest = str(error).split(" ")
    if kind not in ("MOVED", "ASK") or len(rest) != 2:
        return None
    host, _, port = rest[1].rpartition(":")
    return kind, node_address(host, port, seen_from)
