"""What keeps the rings true: one writer, known layouts, and a Redis that has lost nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from streaming.checkpoint import Checkpoint, Entry, Past
from streaming.errors import FencedError, LostWritesError
from streaming.lanes.completeness import Completeness
from streaming.plan import Plan
from streaming.redis import meta, progress
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

        Raises FencedError when another lane does, ServiceError when Redis may evict or is away,
        LostWritesError after a rebuild that did not end.
        """
        if self.checkpoint.rebuilding:
            raise LostWritesError(
                f"a rebuild for {self.checkpoint.location} did not end: run `tidemark rebuild` again"
            )
        with self._leased() as (bulk, past):
            self._claim(bulk, starting_offsets, past)
            self._remember(past.epoch, frozenset(view.stored_name for view in self.plan.views))
            yield

    @contextmanager
    def rebuild(self, *, every: bool) -> Iterator[None]:
        """Own the rings while they are written anew; `every` says that the plan has all views of the lane.

        Raises FencedError, ServiceError; LostWritesError when only some views are to be rebuilt and
        Redis lost writes of the others too.
        """
        with self._leased():
            if every:
                self._markers.forget()
            last = self.checkpoint.last_committed()
            if not self._markers.check(0 if every else last + 1, self._digest).whole:
                raise LostWritesError(
                    f"Redis {self.target} lost writes of other views too: rebuild all, without --views"
                )
            yield

    def claim(self) -> None:
        """Within `rebuild`, once the old rings are deleted: make the views this lane's."""
        for view in self.plan.views:
            if not meta.claim(self._bulk, view, self.checkpoint.identity, None):
                raise _foreign(view.name)
            meta.save(self._bulk, view, {})
        self.schemas = tuple({view.schema_id: (view.distinct_k, view.slots)} for view in self.plan.views)

    def rebuilt(self, entry: Entry, since: Mapping[str, int]) -> None:
        """Say that the rings hold every batch up to `entry`, whole `since` then (ms, by view).

        Raises RedisAway when a server has changed since `rebuild` began, FencedError.
        """
        self.end(entry)
        for view in self.plan.views:
            meta.save(self._bulk, view, {feature.name: since[view.name] for feature in view.features})
        stored = frozenset(view.stored_name for view in self.plan.views)
        self._remember(self.epoch, self.checkpoint.past.views | stored)

    def _remember(self, epoch: int, views: frozenset[str]) -> None:
        self.checkpoint.remember(Past(max(epoch, self.epoch), views))

    @contextmanager
    def _leased(self) -> Iterator[tuple[Bulk, Past]]:
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
                self._bulk = bulk
                self._markers = Markers(bulk, self.plan.project, name, self.checkpoint.identity)
                yield bulk, past
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
                f"{outcome.detail}: run `tidemark rebuild`, or `tidemark stream reset` to start over"
            )
        entries = [self.checkpoint.entry(n) for n in range(outcome.since + 1, entry.batch)]
        if not all(entries):
            raise LostWritesError(
                f"{outcome.detail}, and the ledger in {self.checkpoint.location} does not know them: "
                "run `tidemark rebuild`, or `tidemark stream reset` to start over"
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
        progress.save(self._bulk, self.plan.project, self.checkpoint.identity, entry)

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
