"""What a model learns: a feature service of the repo, and by its tags the events, the label and the rules.

FeatureService(name="...", features=[...], tags={
    "model": "transactions",                # the model's name
    "model.source": "transactions_stream",  # the stream whose events are scored
    "model.label": "is_fraud",              # a field of those events that is true or false; never an input
    "model.rules": "composite_fraud_score", # the service's column that the model must beat
})
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from feast import FeatureStore

from streaming.errors import DefinitionError
from streaming.plan import Plan

TAGS = ("model", "model.source", "model.label", "model.rules")


@dataclass(frozen=True)
class Recipe:
    """The tags of the service `service`; without `features` all of its numbers are inputs."""

    name: str
    service: str
    source: str
    label: str
    rules: str
    features: tuple[str, ...] = ()


def recipe(store: FeatureStore, name: str) -> Recipe:
    """The recipe of the model `name`. Raises DefinitionError when no service has it, or two have."""
    found = {}
    for service in store.list_feature_services():
        tags = dict(service.tags)
        if "model" not in tags:
            continue
        missing = [tag for tag in TAGS if not tags.get(tag)]
        if missing:
            raise DefinitionError(f"service {service.name} is a model's and has no tag {missing[0]}: add it")
        features = tuple(word.strip() for word in tags.get("model.features", "").split(",") if word.strip())
        found.setdefault(tags["model"], []).append(
            Recipe(tags["model"], service.name, *(tags[tag] for tag in TAGS[1:]), features)
        )
    if name not in found:
        known = ", ".join(sorted(found)) or "none; give a service the tag model and run feast apply"
        raise DefinitionError(f"no feature service has the tag model: {name}: choose from {known}")
    if len(found[name]) > 1:
        services = " and ".join(sorted(r.service for r in found[name]))
        raise DefinitionError(f"services {services} both have the tag model: {name}: leave it on one")
    return found[name][0]


def refuse_leaks(plan: Plan, recipe: Recipe) -> None:
    """Raises DefinitionError when a view of the plan reads the label. The plan was compiled with Spark."""
    word = re.compile(rf"(?<![\w`]){re.escape(recipe.label)}(?!\w)|`{re.escape(recipe.label)}`")
    for view in plan.views:
        read = [sql for _, sql in (*view.columns, *view.keys)] + [view.condition]
        if view.source == recipe.source and any(word.search(sql) for sql in read):
            raise DefinitionError(
                f"view {view.name} reads {recipe.label}, the label of model {recipe.name}: take the view out of "
                f"service {recipe.service}"
            )
