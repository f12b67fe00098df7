"""What can be asked for: entity types with their views, services, sources."""

from __future__ import annotations

from dataclasses import dataclass, field

from feast import FeatureStore

from serving.api.check import KEYS
from serving.api.problems import Problem
from serving.scoring import services
from streaming.errors import DefinitionError
from streaming.plan import Plan, View


@dataclass(frozen=True)
class EntityType:
    """An entity of the repo: its join key, and the stream views that have it alone."""

    name: str
    join_key: str
    dtype: str
    views: tuple[View, ...]

    def value(self, text: str) -> str | int:
        """An id of the address as a value of the join key. Raises Problem 422."""
        if self.dtype not in KEYS:
            return text
        try:
            return int(text)
        except ValueError:
            raise Problem(422, f"{self.join_key} is a whole number, and {text[:40]!r} is not") from None


@dataclass(frozen=True)
class Catalog:
    """Entity types and services of a repo as they were when the API started."""

    store: FeatureStore
    plan: Plan
    types: dict[str, EntityType] = field(init=False)

    def __post_init__(self) -> None:
        found = {}
        for entity in self.store.list_entities():
            views = tuple(v for v in self.plan.views if [k for k, _ in v.join_keys] == [entity.join_key])
            if views:
                found[entity.name] = EntityType(entity.name, entity.join_key, views[0].join_keys[0][1], views)
        object.__setattr__(self, "types", found)

    def scored(self) -> dict[str, str]:
        """The entity type that each scoring service is about, by the service's name."""
        try:
            found = services.load(self.store, self.plan)
        except DefinitionError:  # a repo need not score anything
            return {}
        by_key = {kind.join_key: kind.name for kind in reversed(self.types.values())}
        return {service.name: by_key[service.entity] for service in found if service.entity in by_key}

    def type(self, name: str) -> EntityType:
        """Raises Problem 404, naming those there are."""
        if name not in self.types:
            known = ", ".join(sorted(self.types)) or "none"
            raise Problem(404, f"there is no entity type {name[:60]}: choose from {known}")
        return self.types[name]
