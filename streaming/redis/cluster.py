"""Where the keys of a Redis Cluster live.

Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ (hash slot = CRC16
of the key, or of its hash tag, modulo 16384; CRC16 is the XMODEM form, which is binascii.crc_hqx).
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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


Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges of slots, ascending and apart."""


@dataclass(frozen=True)
class Topology:
    """Which master serves which slots: (first, last, address), ascending."""

    ranges: tuple[tuple[int, int, Address], ...]

    @cached_property
    def owners(self) -> tuple[Address | None, ...]:
        """The master of every slot; None where nobody serves it."""
        owners: list[Address | None] = [None] * SLOTS
        for first, last, address in self.ranges:
            owners[first : last + 1] = [address] * (last - first + 1)
        return tuple(owners)

    @property
    def masters(self) -> tuple[Address, ...]:
        """Masters that serve slots, ordered by their first slot."""
        return tuple(dict.fromkeys(address for _, _, address in self.ranges))

    def slots_of(self, master: Address) -> Ranges:
        """The slots of a master."""
        merged: list[tuple[int, int]] = []
        for first, last, address in self.ranges:
            if address != master:
                continue
            if merged and merged[-1][1] == first - 1:
                first = merged.pop()[0]
            merged.append((first, last))
        return tuple(merged)


def topology(connection: Connection) -> Topology:
    """The slot map as this node knows it. Raises ServiceError when it is no cluster."""
    reply = ask(connection, ("CLUSTER", "SLOTS"))[0]
    if isinstance(reply, hiredis.ReplyError):
        raise ServiceError(
            f"Redis at {connection.address} is not a cluster ({reply}): set redis_type: redis in feature_store.yaml"
        )
    ranges = [(first, last, node_address(node[0], node[1], connection)) for first, last, node, *_ in reply]
    return Topology(tuple(sorted(ranges)))


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
