"""What runs already, as far as it can be asked: Redis, feature tables, a lane's checkpoint, Kafka."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from streaming.checkpoint import Checkpoint
from streaming.definitions.changes import Grown, Lane, ViewChanges, compare, grown
from streaming.errors import ServiceError, TidemarkError
from streaming.history.store import HistoryError
from streaming.plan import Plan


@dataclass(frozen=True)
class Stored:
    """A view's feature table: the version now asked for (empty if its udf was not compiled), and those it holds."""

    view: str
    asked: str
    held: tuple[str, ...]

    @property
    def need(self) -> str:
        """Whether the table has to be written again; the version made last is the one that counts."""
        if not self.asked:
            return "unknown"
        return "nothing" if not self.held or self.held[0] == self.asked else "backfill"


@dataclass(frozen=True)
class Deployed:
    """What a plan changes. `silent` says why Redis or Kafka could not be asked."""

    changes: tuple[ViewChanges, ...] = ()
    stored: tuple[Stored, ...] = ()
    grown: tuple[Grown, ...] = ()
    silent: tuple[str, ...] = field(default=())


def ask(plan: Plan, root: str, checkpoint: str = "") -> Deployed:
    """Compare a plan with what runs. Raises TidemarkError when there is no such checkpoint."""
    lane = _lane(checkpoint) if checkpoint else None
    silent = []
    changes: tuple[ViewChanges, ...] = ()
    try:
        changes = compare(plan, _rings(plan), int(time.time() * 1000), lane)
    except ServiceError as error:
        silent.append(f"nothing known of the rings: {error}")
    larger: tuple[Grown, ...] = ()
    if checkpoint:
        held = Checkpoint(checkpoint)
        entry = next(held.entries(held.last_committed()), None)
        try:
            larger = grown(entry, _partitions(plan))
        except ServiceError as error:
            silent.append(f"nothing known of the topics: {error}")
    stored: tuple[Stored, ...] = ()
    try:
        stored = _stored(plan, root)
    except (OSError, HistoryError) as error:
        silent.append(f"nothing known of the feature tables: {error}")
    return Deployed(changes, stored, larger, tuple(silent))


def _rings(plan: Plan) -> dict[str, Any]:
    from streaming.redis import meta
    from streaming.redis.bulk import Bulk, RedisTarget

    with Bulk(RedisTarget(plan.redis, plan.redis_cluster, timeout=5)) as bulk:
        return {view.name: meta.load(bulk, view.project, view.stored_name) for view in plan.views}


def _lane(location: str) -> Lane:
    from pyarrow import fs

    from streaming.history.backfill import place

    system, path = place(location)
    # Checkpoint makes what is not there.
    if system.get_file_info(f"{path}/identity").type != fs.FileType.File:
        raise TidemarkError(f"{location} is no checkpoint of a lane: name the folder that one runs on")
    held = Checkpoint(location)
    return Lane(held.last_committed() >= 0, held.past.views, held.identity)


def _partitions(plan: Plan) -> dict[str, int]:
    """Partitions of each topic of the plan. Raises ServiceError when a broker does not answer."""
    from confluent_kafka import KafkaException

    from tidemark.admin import admin

    found = {}
    for source in plan.sources:
        try:
            topics = admin(source.bootstrap_servers).list_topics(source.topic, timeout=5).topics
        except KafkaException as error:
            raise ServiceError(f"Kafka at {source.bootstrap_servers} does not answer: start it") from error
        found[source.topic] = len(topics[source.topic].partitions)
    return found


def _stored(plan: Plan, root: str) -> tuple[Stored, ...]:
    from streaming.history import version, versions

    return tuple(
        Stored(
            view.name,
            version.definition(plan, view) if view.timestamp else "",
            tuple(v.definition for v in versions.versions(versions.parts(root, view.name))),
        )
        for view in plan.views
    )
