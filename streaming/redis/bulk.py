"""Many Redis commands at once, to one Redis or to a Redis Cluster.

Nothing is retried behind the caller's back except what a server provably did not do: a command that
a cluster node answered with MOVED, ASK or TRYAGAIN, and a script the server did not know. When a
connection breaks, every call raises RedisAway; the caller connects anew when it has dealt with that.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import hiredis
import numpy as np

from streaming.errors import ServiceError
from streaming.redis import resp
from streaming.redis.cluster import Topology, key_slot, key_slots, redirection, topology
from streaming.redis.connection import Address, Connection, RedisAway
from streaming.redis.pump import Stream, ask, pump
from streaming.redis.resp import Argument, Commands, Fields
from streaming.redis.target import RedisTarget

__all__ = ["Bulk", "Fields", "RedisAway", "RedisTarget"]

FENCED_HSET = b"""
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if ARGV[3] == '0' then
  redis.call('PERSIST', KEYS[1])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
"""
KEEP = b"""
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return left
"""


def _sha(script: bytes) -> bytes:
    return hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()


_FENCED_SHA, _KEEP_SHA = _sha(FENCED_HSET), _sha(KEEP)

_AWAY = ("LOADING", "MASTERDOWN", "CLUSTERDOWN")
_REMEDIES = {
    "OOM": "raise maxmemory, or shorten windows",
    "READONLY": "it is a replica, name its master in the connection string",
    "MISCONF": "it cannot write its snapshot, free disk space there",
    "NOAUTH": "name the password in the connection string",
    "NOPERM": "grant its user the command",
    "WRONGTYPE": "another application uses the key, give Feast a database of its own",
}
_IN_SCRIPT = re.compile(r"^ERR Error running script .*: -([A-Z]+) ")
_ROUNDS = 20


class Bulk:
    """Connections to every master of a target. Not shared between threads; use as a context manager."""

    def __init__(self, target: RedisTarget) -> None:
        self.target = target
        self._connections: dict[Address, Connection] = {}
        self._lost: RedisAway | None = None
        self.topology: Topology | None = None
        if target.cluster:
            self._refresh()
        else:
            self._connect(target.addresses[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._lost = self._lost or RedisAway(f"Redis at {self.target} is closed: connect again")

    @property
    def masters(self) -> tuple[Address, ...]:
        """The servers that hold data."""
        return self.topology.masters if self.topology else self.target.addresses[:1]

    def hmget(self, keys: Sequence[bytes], fields: Sequence[bytes]) -> list[list[bytes | None]]:
        """The same fields of every key, None where absent. Raises RedisAway, ServiceError."""
        return self._run(resp.hmget(list(keys), fields), keys)

    def hmget_each(
        self, keys: Sequence[bytes], fields: Sequence[tuple[bytes, ...]]
    ) -> list[list[bytes | None]]:
        """As `hmget`, with fields of its own for every key, all in one round trip. Raises RedisAway, ServiceError."""
        return self._run(resp.hmget_each(list(keys), fields), keys)

    def hset(self, keys: Sequence[bytes], fields: Fields) -> None:
        """Set fields of every key. Raises RedisAway, ServiceError; some keys may then be written and others not."""
        self._run(resp.hset(list(keys), fields), keys)

    def keep(self, keys: Sequence[bytes], millis: int) -> None:
        """Let none of the keys that expire do so within `millis`. Raises RedisAway, ServiceError."""
        self._run(resp.script(_KEEP_SHA, list(keys), [b"%d" % millis], Fields()), keys)

    def fenced_hset(
        self,
        keys: Sequence[bytes],
        fence_field: bytes,
        expected: Sequence[bytes | None],
        fields: Fields,
        expiry: int = 0,
    ) -> np.ndarray:
        """Set fields of each key whose `fence_field` still holds `expected` (None or b"": is absent).

        One server-side step for each key, so a writer that read an older header changes nothing. A key
        that was set lives for at least `expiry` ms more, longer if it would have done so before; with 0
        it never expires. Returns bool[keys], false where the fence held the write off. Every key must
        set a field. Raises RedisAway, ServiceError.
        """
        fences = [value or b"" for value in expected]
        commands = resp.script(_FENCED_SHA, list(keys), [fence_field, fences, b"%d" % expiry], fields)
        return np.array(self._run(replace(commands, failpoint="pipeline"), keys), dtype=bool)

    def command(self, *arguments: Argument) -> Any:
        """One command and its reply; in a cluster it goes to the node of its first key."""
        first = 3 if str(arguments[0]).upper() in ("EVAL", "EVALSHA") else 1
        key = arguments[first] if len(arguments) > first else b""
        return self._run(resp.repeated([arguments]), [key if isinstance(key, bytes) else str(key).encode()])[
            0
        ]

    def commands(self, commands: Sequence[Sequence[Argument]], keys: Sequence[bytes]) -> list[Any]:
        """Replies of commands of any shape; `keys` says which key decides where each goes."""
        return self._run(resp.repeated(commands), keys)

    def refresh(self) -> None:
        """Learn anew which node of a cluster serves which slot."""
        try:
            self._refresh()
        except RedisAway as error:
            raise self._lose(error) from error

    def on(self, master: Address, *commands: Sequence[Argument]) -> list[Any]:
        """Replies of several commands to one master, in order and on one connection."""
        connection = self._connect(master)
        try:
            replies = ask(connection, *commands)
        except RedisAway as error:
            raise self._lose(error) from error
        for reply in replies:
            self._refuse(reply, connection)
        return replies

    def _lose(self, error: RedisAway) -> RedisAway:
        self._lost = error
        self.close()
        return error

    def _connect(self, address: Address) -> Connection:
        if self._lost:
            raise RedisAway(str(self._lost))
        if address not in self._connections:
            connection = Connection(address, self.target.options, self.target.timeout)
            self._connections[address] = connection
            self._load_scripts(connection)
        return self._connections[address]

    def _load_scripts(self, connection: Connection) -> None:
        for reply in ask(connection, ("SCRIPT", "LOAD", FENCED_HSET), ("SCRIPT", "LOAD", KEEP)):
            self._refuse(reply, connection)

    def _refresh(self, *hints: Address) -> None:
        """Learn the slot map from the first node that answers, those in `hints` first."""
        away: RedisAway | None = None
        for address in dict.fromkeys([*hints, *self._connections, *self.target.addresses]):
            try:
                self.topology = topology(self._connect(address))
            except RedisAway as error:
                away = error
                self._connections.pop(address, None)
            else:
                return
        raise away or RedisAway(f"no node of Redis Cluster {self.target} answers: start it")

    def _owner(self, key: bytes) -> Connection:
        owner = self.topology.owners[key_slot(key)] if self.topology else self.target.addresses[0]
        if owner is None:
            raise RedisAway(
                f"slot {key_slot(key)} of Redis Cluster {self.target} is served by nobody: repair it"
            )
        return self._connect(owner)

    def _run(self, commands: Commands, keys: Sequence[bytes]) -> list[Any]:
        if not keys:
            return []
        try:
            return self._route(commands, keys)
        except RedisAway as error:
            raise self._lose(error) from error

    def _route(self, commands: Commands, keys: Sequence[bytes]) -> list[Any]:
        replies: list[Any] = [None] * commands.count
        todo: Sequence[int] = range(commands.count)
        for attempt in range(_ROUNDS):
            failed = self._send(commands, self._shares(keys, todo), replies)
            todo = self._again(commands, failed, replies)
            if not todo:
                return replies
            time.sleep(0.005 * attempt)
        raise ServiceError(f"Redis {self.target} still answers {replies[todo[0]]}: repair its slots")

    def _shares(self, keys: Sequence[bytes], todo: Sequence[int]) -> dict[Connection, Sequence[int]]:
        """Which connection gets which commands."""
        if self.topology is None:
            return {self._connect(self.target.addresses[0]): todo}
        shares: dict[Address | None, list[int]] = {}
        for i, slot in zip(todo, key_slots([keys[i] for i in todo]), strict=True):
            shares.setdefault(self.topology.owners[slot], []).append(i)
        return {self._owner(keys[which[0]]): which for which in shares.values()}

    def _send(
        self, commands: Commands, shares: dict[Connection, Sequence[int]], replies: list[Any]
    ) -> list[tuple[int, Connection]]:
        """Run each connection's commands, put their replies in place; which of them met an error."""
        before = {connection: connection.errors for connection in shares}
        streams = [Stream(connection, commands, which) for connection, which in shares.items()]
        pump(streams, self.target.window)
        failed: list[tuple[int, Connection]] = []
        for stream in streams:
            if isinstance(stream.which, range):
                replies[stream.which.start : stream.which.stop] = stream.replies
            else:
                for i, reply in zip(stream.which, stream.replies, strict=True):
                    replies[i] = reply
            if stream.connection.errors > before[stream.connection]:
                failed += [
                    (i, stream.connection) for i in stream.which if isinstance(replies[i], hiredis.ReplyError)
                ]
        return failed

    def _again(
        self, commands: Commands, failed: list[tuple[int, Connection]], replies: list[Any]
    ) -> list[int]:
        """Those of the failed commands that were not carried out and may be sent again."""
        again: list[int] = []
        moved: list[Address] = []
        asking: dict[Address, list[int]] = {}
        ignorant: set[Connection] = set()
        for i, connection in failed:
            error = replies[i]
            redirected = redirection(error, connection)
            if redirected and redirected[0] == "ASK":
                asking.setdefault(redirected[1], []).append(i)
                continue
            if redirected:
                moved.append(redirected[1])
            elif str(error).startswith("NOSCRIPT"):
                ignorant.add(connection)
            elif not str(error).startswith("TRYAGAIN"):
                self._refuse(error, connection)
            again.append(i)
        for connection in ignorant:
            self._load_scripts(connection)
        for address, which in asking.items():
            again += self._ask(address, commands, which, replies)
        if moved:
            self._refresh(*dict.fromkeys(moved))
        return again

    def _ask(self, address: Address, commands: Commands, which: list[int], replies: list[Any]) -> list[int]:
        """Send commands to the node that is importing their slot; those that met an error again."""
        lines = [line for i in which for line in (resp.command("ASKING"), commands.render([i]))]
        stream = Stream(self._connect(address), Commands(len(lines), (lines,)), range(len(lines)))
        pump([stream], self.target.window)
        for i, reply in zip(which, stream.replies[1::2], strict=True):
            replies[i] = reply
        return [i for i in which if isinstance(replies[i], hiredis.ReplyError)]

    def _refuse(self, reply: Any, connection: Connection) -> None:
        """Raise what an error reply means for a person."""
        if not isinstance(reply, hiredis.ReplyError):
            return
        kind = str(reply).split(" ", 1)[0]
        if kind in _AWAY:
            raise connection.away(reply)
        if inside := _IN_SCRIPT.search(str(reply)):
            # Redis 6 words an error of a command in a script like this; later ones name its kind first.
            kind = inside[1]
        remedy = _REMEDIES.get(kind, "see its log")
        raise ServiceError(f"Redis at {connection.address} refused a command ({reply}): {remedy}")
