"""Sessions, which Feast has no word for, from the tags of entities and sources.

An entity with the tag `session_gap` has sessions, over all sources of its views. A source's tag
`session_amount` names a number to be summed, and `session_distinct` columns (by commas) whose values are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from feast import FeatureStore, KafkaSource

from streaming.definitions import tags
from streaming.definitions.entities import is_tiled, stream_views
from streaming.errors import DefinitionError
from streaming.plan import Plan, Source, View
from streaming.source import struct_type


@dataclass(frozen=True)
class SessionPart:
    """How one source's events enter: Spark SQL over its struct. `amount` may be empty."""

    source: str
    key: str
    time: str
    amount: str
    distinct: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sessions:
    """An entity's sessions: its name, its join key, the pause (ms) that ends one, and its sources."""

    entity: str
    key: str
    gap: int
    parts: tuple[SessionPart, ...]

    @property
    def distinct(self) -> tuple[str, ...]:
        """Names of the columns whose distinct values are counted, of all sources."""
        return tuple(sorted({name for part in self.parts for name, _ in part.distinct}))


def load(repo: Path | str | FeatureStore, plan: Plan) -> tuple[Sessions, ...]:
    """The sessions that a repo asks for, of the views of `plan`. Raises DefinitionError, with the remedy."""
    store = repo if isinstance(repo, FeatureStore) else FeatureStore(repo_path=str(repo))
    registered = {
        tags.stream_name(view.stream_source): view.stream_source
        for view in stream_views(store, skip_udf=True)
        if is_tiled(view) and isinstance(view.stream_source, KafkaSource)
    }
    found = []
    for entity in sorted(store.registry.list_entities(store.project), key=lambda e: e.name):
        try:
            gap = tags.milliseconds(entity.tags, "session_gap", 0)
        except DefinitionError as error:
            raise DefinitionError(f"entity {entity.name}: {error}") from None
        if not gap:
            continue
        parts = []
        for number, source in enumerate(plan.sources):
            mine = [v for v in plan.of_source(source.name) if [n for n, _ in v.keys] == [entity.join_key]]
            if mine:
                parts.append(_part(mine[0], source, number, registered[source.name]))
        if parts:
            found.append(Sessions(entity.name, entity.join_key, gap, tuple(parts)))
    return tuple(found)


def _part(view: View, source: Source, number: int, kafka: KafkaSource) -> SessionPart:
    amount = kafka.tags.get("session_amount", "").strip()
    distinct = [name.strip() for name in kafka.tags.get("session_distinct", "").split(",") if name.strip()]
    known = struct_type(source).names
    for name in [*([amount] if amount else []), *distinct]:
        if name not in known:
            raise DefinitionError(
                f"source {source.name}: a session tag names column {name}, which its messages lack: "
                f"the columns are {', '.join(known)}"
            )
    columns = {name: f"source_{number}.`{name}`" for name in known}
    return SessionPart(
        source.name,
        dict(view.keys)[view.keys[0][0]],
        f"CAST({columns[source.timestamp_field]} AS TIMESTAMP)",
        columns[amount] if amount else "",
        tuple((name, columns[name]) for name in distinct),
    )
