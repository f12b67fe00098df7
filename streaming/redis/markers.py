"""Notices a Redis that lost writes: one marker per shard, written when a batch is whole.

A server's writes are ordered, also in its append-only file, its snapshots and its replicas. So a
shard that holds the marker of batch M holds every ring write of the batches up to M, and one that
was restored from before M shows an older marker. A marker speaks for the slots it names, as long
as they are still where it was written: slots that moved to another server have no marker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from streaming.errors import LostWritesError
from streaming.redis.bulk import Bulk, RedisAway
from streaming.redis.cluster import SLOTS, Ranges, key_slot
from streaming.redis.shards import WHOLE, Shard, contains, overlap, shards, slot_tags, union, without


@dataclass(frozen=True)
class Marker:
    """Batch `batch` with end offsets of `digest` is whole in `slots`, by the lane of `identity`."""

    batch: int
    digest: str
    identity: int
    run_id: str
    replid: str
    node_id: str
    slots: Ranges

    @classmethod
    def parse(cls, text: bytes) -> Marker:
        raw: dict[str, Any] = json.loads(text)
        return cls(**{**raw, "slots": tuple((first, last) for first, last in raw["slots"])})

    def dump(self) -> str:
        return json.dumps(asdict(self))

    def speaks_for(self, shard: Shard, beside: bool) -> bool:
        """Whether the shard is the one that wrote it, and cannot have lost what it vouches for.

        `beside`: the marker is stored in that shard, so that both are lost or kept together.
        """
        heir = self.replid in shard.replids
        same_shard = self.node_id == shard.node_id or (bool(shard.node_id) and heir)
        return same_shard and (beside or (self.run_id == shard.run_id and heir))


@dataclass(frozen=True)
class Outcome:
    """What the markers say at the beginning of a batch.

    ok: every shard holds the batch before. replay: some hold this batch already, with the same
    offsets. gap: `slots` miss every batch after `since` (None: unknown, also slots that moved).
    foreign: this Redis holds another history, or none.
    """

    kind: Literal["ok", "replay", "gap", "foreign"]
    since: int | None = None
    slots: Ranges = ()
    detail: str = ""

    @property
    def whole(self) -> bool:
        """Whether the batch may be merged."""
        return self.kind in ("ok", "replay")

    def error(self) -> LostWritesError:
        """The refusal of an outcome that is not whole."""
        return LostWritesError(f"{self.detail}: stop the lane and run tidemark rebuild")


class Markers:
    """The markers of one lane. `identity` is the number of its checkpoint."""

    def __init__(self, bulk: Bulk, project: str, lane: str, identity: int) -> None:
        self._bulk = bulk
        self._name = f"{project}:{lane}"
        self._identity = identity
        self._seen: tuple[Shard, ...] | None = None
        self._stored: dict[bytes, Marker] = {}

    def key(self, shard: Shard) -> bytes:
        """Key of a shard's marker: in a cluster one that hashes to the last of its slots.

        Resharding takes a node's first slots first.
        """
        return self._key_in(shard.slots[-1][1]) if shard.node_id else f"tidemark:marker:{self._name}".encode()

    def _key_in(self, slot: int) -> bytes:
        return f"tidemark:marker:{{{slot_tags()[slot]}}}:{self._name}".encode()

    def _keys(self) -> list[bytes]:
        """Every key that may hold a marker of the lane."""
        if self._bulk.topology is None:
            return [f"tidemark:marker:{self._name}".encode()]
        return [self._key_in(slot) for slot in range(SLOTS)]

    def forget(self) -> None:
        """Delete every marker of the lane, whoever wrote it, as a reset does."""
        keys = self._keys()
        self._bulk.commands([("DEL", key) for key in keys], keys)
        self._stored = {}

    def check(self, batch: int, digest_of: Callable[[int], str | None]) -> Outcome:
        """What this Redis holds as batch `batch` begins; remembers the servers for `write`.

        `digest_of` gives the digest of a batch's end offsets, this batch's included, or None where
        it is not known. Raises RedisAway, ServiceError.
        """
        self._seen = shards(self._bulk)
        vouched = self._vouched(self._seen)
        if not any(vouched) and batch > 0:
            return Outcome(
                "foreign", slots=WHOLE, detail=f"Redis {self._bulk.target} has no marker of this lane"
            )
        missing: Ranges = ()
        since: list[int | None] = []
        replay = False
        for marker, slots in vouched.items():
            if marker is None and batch == 0:
                continue
            if marker is None:
                missing, since = union(missing, slots), [*since, None]
                continue
            if problem := self._foreign(marker, batch, digest_of):
                return Outcome("foreign", slots=slots, detail=problem)
            if marker.batch < batch - 1:
                missing, since = union(missing, slots), [*since, marker.batch]
            replay = replay or marker.batch == batch
        if not missing:
            return Outcome("replay" if replay else "ok")
        known = [number for number in since if number is not None]
        oldest = min(known) if len(known) == len(since) else None
        lost = (
            f"lost the writes after batch {oldest}"
            if oldest is not None
            else "cannot show that it kept its writes"
        )
        return Outcome("gap", oldest, missing, f"Redis {self._bulk.target} {lost} in slots {_shown(missing)}")

    def _foreign(self, marker: Marker, batch: int, digest_of: Callable[[int], str | None]) -> str:
        where = f"Redis {self._bulk.target}"
        if marker.identity != self._identity:
            return f"{where} was written by another checkpoint of this lane"
        if marker.batch > batch:
            return f"{where} is at batch {marker.batch}, ahead of this checkpoint at {batch}"
        if digest_of(marker.batch) != marker.digest:
            return f"{where} holds batch {marker.batch} with other offsets than this checkpoint"
        return ""

    def _vouched(self, current: tuple[Shard, ...]) -> dict[Marker | None, Ranges]:
        """The newest marker that speaks for each slot, ours first; None is the key of slots without one."""
        homes = [self.key(shard) for shard in current]
        self._stored = self._load(homes)
        if any(
            h not in self._stored or self._stored[h].slots != s.slots
            for h, s in zip(homes, current, strict=True)
        ):
            self._stored = self._load(
                [self._key_in(slot) for slot in range(16384)] if current[0].node_id else homes
            )
        ours_first = sorted(
            self._stored.items(), key=lambda kv: (kv[1].identity != self._identity, -kv[1].batch)
        )
        vouched: dict[Marker | None, Ranges] = {}
        for shard in current:
            left = shard.slots
            for key, marker in ours_first:
                beside = not shard.node_id or contains(shard.slots, key_slot(key))
                covered = overlap(left, marker.slots) if marker.speaks_for(shard, beside) else ()
                if covered:
                    vouched[marker] = union(vouched.get(marker, ()), covered)
                    left = without(left, covered)
            if left:
                vouched[None] = union(vouched.get(None, ()), left)
        return vouched

    def _load(self, keys: list[bytes]) -> dict[bytes, Marker]:
        found = self._bulk.commands([("GET", key) for key in keys], keys)
        return {key: Marker.parse(text) for key, text in zip(keys, found, strict=True) if text is not None}

    def write(self, batch: int, digest: str) -> None:
        """Mark the batch whole, in every shard, after its last task has finished.

        Raises RedisAway, and writes nothing, when a server has restarted or slots have moved since
        `check`: the batch has to be run again. After slots have been rebuilt, `write(batch - 1, ...)`
        says that all is whole again.
        """
        if self._seen is None:
            raise ValueError("check() comes before write()")
        now = shards(self._bulk)
        if now != self._seen:
            changed = next((str(s.address) for s in now if s not in self._seen), str(self._bulk.target))
            raise RedisAway(
                f"Redis at {changed} restarted or moved slots during batch {batch}: run the batch again"
            )
        written: dict[bytes, Marker] = {}
        for shard in now:
            key = self.key(shard)
            marker = Marker(
                batch, digest, self._identity, shard.run_id, shard.replids[0], shard.node_id, shard.slots
            )
            self._bulk.on(shard.address, ("SET", key, marker.dump()))
            written[key] = marker
        if stale := [key for key in self._stored if key not in written]:
            self._bulk.commands([("DEL", key) for key in stale], stale)
        self._stored = written


def _shown(slots: Ranges) -> str:
    ranges = [str(first) if first == last else f"{first}-{last}" for first, last in slots]
    return ",".join(ranges[:5]) + (f" and {len(ranges) - 5} more ranges" if len(ranges) > 5 else "")
