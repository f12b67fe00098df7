"""What keeps the rings true: one writer, known layouts, and a Redis that has lost nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from streaming.checkpoint import Checkpoint, Entry, Past
from streaming.errors import FencedError, LostWritesError
from streaming.lanes.completeness import Completeness
from streaming.plan import Plan
from streaming.redis import meta
from streaming.redis.bulk import Bulk
from streaming.redis.connection import RedisAway
from streaming.redis.lease import Lease
from streaming.redis.markers import Markers
from streaming.redis.shards import refuse_eviction
from streaming.redis.target import RedisTarget
from streaming.ring import Schemas
from streaming.settings import LaneSettings


class Keeper:
    """Holds the lane's lease and markers, and records what readers must know about each view."""

    def __init__(
        self, plan: Plan, checkpoint: Checkpoint, settings: LaneSettings, clock: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.checkpoint = checkpoint
        self.settings = settings
        self.clock = clock
        self.target = RedisTarget(plan.redis, plan.redis_cluster)
        self.schemas: tuple[Schemas, ...] = ()
        self.lease: Lease | None = None
        # One for the keeper's life: the lease it could not give back to a Redis that was away is its own.
        self._token = uuid.uuid4().hex

    @property
    def epoch(self) -> int:
        """Epoch of the lease in force."""
        return self.lease.epoch if self.lease else 0

    @contextmanager
    def hold(self, starting_offsets: str) -> Iterator[None]:
        """Own the views' rings for the time of the context.

        Raises FencedError when another lane does, ServiceError when Redis may evict or is away.
        """
        name = f"online-{self.checkpoint.identity:016x}"
        past = self.checkpoint.past
        with Bulk(self.target) as bulk:
            refuse_eviction(bulk)
            lease = Lease(
                self.target, self.plan.project, name, self.settings.lease_seconds, token=self._token
            )
            # Redis may have lost the newest epochs, and rings would then seem to be another lane's.
            lease.acquire(at_least=past.epoch)
            self.lease = lease
            try:
                self._claim(bulk, starting_offsets, past)
                self.checkpoint.remember(Past(lease.epoch, frozenset(v.stored_name for v in self.plan.views)))
                self._bulk = bulk
                self._markers = Markers(bulk, self.plan.project, name, self.checkpoint.identity)
                yield
            finally:
                self._release(lease)

    @staticmethod
    def _release(lease: Lease) -> None:
        # A lease not given back ends by itself; that must not hide why the lane stopped.
        with suppress(RedisAway):
            lease.release()

    def _claim(self, bulk: Bulk, starting_offsets: str, past: Past) -> None:
        mine = self.checkpoint.identity
        held = [meta.load(bulk, view.project, view.stored_name) for view in self.plan.views]
        for view, known in zip(self.plan.views, held, strict=True):
            if known.identity not in (None, mine):
                raise _foreign(view.name)
        self._completeness = Completeness(
            self.plan, self.checkpoint.last_committed() >= 0, past.views, starting_offsets, self.clock
        )
        schemas = []
        for view, known in zip(self.plan.views, held, strict=True):
            if known.identity is None and not meta.claim(bulk, view, mine, None):
                raise _foreign(view.name)
            self._completeness.record(bulk, view, known)
            schemas.append({**known.layouts, view.schema_id: (view.distinct_k, view.slots)})
        self.schemas = tuple(schemas)

    def begin(self, entry: Entry) -> list[Entry]:
        """Check that Redis holds every batch before this one; returns those to be replayed first.

        Raises LostWritesError when what is missing cannot be replayed, FencedError or RedisAway
        without a lease.
        """
        self.check()
        self._completeness.begin(self._bulk)
        outcome = self._markers.check(entry.batch, self._digest)
        if outcome.whole:
            return []
        if outcome.kind != "gap" or outcome.since is None:
            raise LostWritesError(
                f"{outcome.detail}: run `tidemark stream reset` and start the lane on a new checkpoint"
            )
        entries = [self.checkpoint.entry(n) for n in range(outcome.since + 1, entry.batch)]
        if not all(entries):
            raise LostWritesError(
                f"{outcome.detail}, and the ledger in {self.checkpoint.location} does not know them: "
                "run `tidemark stream reset` and start the lane on a new checkpoint"
            )
        return [found for found in entries if found is not None]

    def _digest(self, batch: int) -> str | None:
        found = self.checkpoint.entry(batch)
        return found.digest if found else None

    def end(self, entry: Entry) -> None:
        """Mark the batch whole in every shard, after its last task, or after the last one replayed.

        Raises RedisAway when a server has changed since `begin`, FencedError.
        """
        self.check()
        self._markers.write(entry.batch, entry.digest)

    def check(self) -> None:
        """Raise FencedError when another lane has the lease, RedisAway when it could not be renewed."""
        if self.lease is None or not self.lease.lost:
            return
        if self.lease.taken:
            raise FencedError("another lane has taken the lease: this one gives way")
        raise RedisAway(
            f"the lane's lease in Redis {self.target} could not be renewed: see whether it answers"
        )


def _foreign(view: str) -> FencedError:
    return FencedError(
        f"the rings of view {view} belong to another checkpoint: start the lane on that checkpoint, "
        f"or run `tidemark stream reset --views {view}` to start over"
    )
