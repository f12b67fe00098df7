"""One writer at a time: a lease on a lane, with an epoch that grows at every change of hands.

The lease is a hash without expiry, so that its epoch outlives every holder; whether it still holds
is decided by Redis' own clock. The epoch goes into every ring header, so that whatever an earlier
holder still has in flight is held off.
"""

from __future__ import annotations

import math
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from streaming.errors import FencedError, ServiceError
from streaming.redis.bulk import Bulk, RedisTarget

_ACQUIRE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'token', 'until', 'host', 'pid', 'started', 'epoch')
local left = (tonumber(held[2]) or 0) - now
if held[1] and held[1] ~= ARGV[1] and held[1] ~= ARGV[2] and left > 0 then
  return {0, held[1], left, held[3], held[4], held[5]}
end
local epoch = math.max(tonumber(held[6]) or 0, tonumber(ARGV[4])) + 1
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'until', now + ARGV[3], 'epoch', epoch,
  'host', ARGV[5], 'pid', ARGV[6], 'started', ARGV[7])
return {epoch}
"""
_RENEW = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'until', clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'token', 'until')
"""


@dataclass(frozen=True)
class Owner:
    """A process: the host as its process ids are counted, the id, and when it started (s)."""

    host: str
    pid: int
    started: float

    @classmethod
    def this(cls) -> Owner:
        """The calling process."""
        return cls(host_name(), os.getpid(), round(psutil.Process().create_time(), 2))

    def is_dead(self, seen_from: str) -> bool:
        """Whether the process is known to be gone; never for another host than `seen_from`."""
        if self.host != seen_from:
            return False
        try:
            process = psutil.Process(self.pid)
            return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.started) > 5
        except psutil.NoSuchProcess:
            return True


def host_name() -> str:
    """This machine as one space of process ids: a container on it, or its reboot, is another."""
    marks = [platform.node()]
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists() and space.exists():
        marks += [boot.read_text().strip()[:8], space.readlink().name]
    return "/".join(marks)


class Lease:
    """The right to write the rings of one lane. Renewed by a thread until released or lost.

    `ttl` (seconds) is how long a silent holder keeps others out. A holder that could not give it
    back, as while Redis is away, takes it again at once if it shows the same `token`.
    """

    def __init__(
        self,
        target: RedisTarget,
        project: str,
        lane: str,
        ttl: float = 15.0,
        owner: Owner | None = None,
        clock: Callable[[], float] = time.monotonic,
        token: str | None = None,
    ) -> None:
        self._target = target
        self._lane = lane
        self._key = f"tidemark:lease:{project}:{lane}"
        self._ttl = ttl
        self._owner = owner or Owner.this()
        self._token = token or uuid.uuid4().hex
        self._ended = threading.Event()
        self._taken = threading.Event()
        self._clock = clock
        self._good_until = math.inf
        self._thread: threading.Thread | None = None
        self.epoch = 0

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def lost(self) -> bool:
        """Whether another may be writing by now: do not write, do not commit."""
        return self.taken or self._clock() > self._good_until

    @property
    def taken(self) -> bool:
        """Whether another is known to have it; a lease that is lost otherwise was not renewed in time."""
        return self._taken.is_set()

    def check(self) -> None:
        """Raise FencedError when the lease is lost."""
        if self.lost:
            raise FencedError(
                f"the lease on {self._lane} was lost: another lane may have it, see tidemark status"
            )

    def acquire(self, at_least: int = 0) -> int:
        """Take the lease and return its epoch, greater than every earlier one and than `at_least`.

        A holder that was a process of this machine and is dead loses it at once. Raises FencedError
        naming the holder; RedisAway, ServiceError.
        """
        asked = self._clock()
        with Bulk(self._target) as bulk:
            reply = self._try(bulk, "", at_least)
            if reply[0] == 0 and Owner(reply[3].decode(), int(reply[4]), float(reply[5])).is_dead(
                self._owner.host
            ):
                reply = self._try(bulk, reply[1].decode(), at_least)
        if reply[0] == 0:
            raise FencedError(
                f"{self._lane} is being written by process {int(reply[4])} on {reply[3].decode().split('/')[0]}: "
                f"stop it, or wait {reply[2] / 1000:.0f} s after it has gone"
            )
        self.epoch = int(reply[0])
        self._good_until = asked + self._ttl
        self._thread = threading.Thread(target=self._keep, name=f"lease {self._lane}", daemon=True)
        self._thread.start()
        return self.epoch

    def _try(self, bulk: Bulk, dead_token: str, at_least: int) -> list[Any]:
        about = asdict(self._owner).values()
        term = int(self._ttl * 1000)
        return bulk.command("EVAL", _ACQUIRE, 1, self._key, self._token, dead_token, term, at_least, *about)

    def _keep(self) -> None:
        """Renew three times a term until released, or until another has the lease."""
        bulk: Bulk | None = None
        while not self._ended.wait(self._ttl / 3):
            asked = self._clock()
            try:
                bulk = bulk or Bulk(RedisTarget(self._target.connection, self._target.cluster, self._ttl / 3))
                renewed = bulk.command("EVAL", _RENEW, 1, self._key, self._token, int(self._ttl * 1000))
            except ServiceError:  # it may come back in time; if not, `lost` says so
                bulk = None
                continue
            if not renewed:
                self._taken.set()
                break
            self._good_until = asked + self._ttl
        if bulk is not None:
            bulk.close()

    def release(self) -> None:
        """Give the lease back, so that the next lane need not wait. Nothing happens when it is lost."""
        self._ended.set()
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        with Bulk(self._target) as bulk:
            bulk.command("EVAL", _RELEASE, 1, self._key, self._token)
