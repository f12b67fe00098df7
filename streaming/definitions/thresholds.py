"""What the data of a view's features must keep to, from its tags.

`quality.max_null_rate` (0 to 1) and `quality.max_psi` hold for every feature of the view; with `.FEATURE` behind,
for that feature instead. A threshold that no tag names is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from feast import FeatureStore

from streaming.definitions.entities import is_tiled, stream_views
from streaming.errors import DefinitionError
from streaming.plan import Plan

PREFIX = "quality."
HIGHEST = {"max_null_rate": 1.0, "max_psi": 1000.0}
"""The largest value of each."""


@dataclass(frozen=True)
class Thresholds:
    """Of one feature; None is not checked."""

    max_null_rate: float | None = None
    max_psi: float | None = None

    def broken(self, null_rate: float, psi: float | None) -> list[str]:
        """What a day's values break, in words."""
        found = []
        if self.max_null_rate is not None and null_rate > self.max_null_rate:
            found.append(f"null rate {null_rate:.4g} above {self.max_null_rate:g}")
        if self.max_psi is not None and psi is not None and psi > self.max_psi:
            found.append(f"PSI {psi:.4g} above {self.max_psi:g}")
        return found


def load(repo: Path | str | FeatureStore, plan: Plan) -> dict[str, dict[str, Thresholds]]:
    """View -> feature -> thresholds, of the views of `plan`. Raises DefinitionError, with the remedy."""
    store = repo if isinstance(repo, FeatureStore) else FeatureStore(repo_path=str(repo))
    tags = {view.name: view.tags for view in stream_views(store, skip_udf=True) if is_tiled(view)}
    found = {}
    for view in plan.views:
        try:
            found[view.name] = of(tags[view.name], [feature.name for feature in view.features])
        except DefinitionError as error:
            raise DefinitionError(f"view {view.name}: {error}") from None
    return found


def of(tags: Mapping[str, str], features: Collection[str]) -> dict[str, Thresholds]:
    """The thresholds of each feature. Raises DefinitionError on a tag that cannot be meant."""
    general: dict[str, float] = {}
    single: dict[str, dict[str, float]] = {name: {} for name in features}
    for tag, text in tags.items():
        if not tag.startswith(PREFIX):
            continue
        kind, _, feature = tag.removeprefix(PREFIX).partition(".")
        if kind not in HIGHEST:
            known = " and ".join(PREFIX + name for name in HIGHEST)
            raise DefinitionError(f"tag {tag} is no threshold: there are {known}")
        if feature and feature not in single:
            raise DefinitionError(
                f"tag {tag} names no feature of the view: take one of {', '.join(features)}"
            )
        (single[feature] if feature else general)[kind] = _number(tag, text, HIGHEST[kind])
    return {name: Thresholds(**{**general, **own}) for name, own in single.items()}


def _number(tag: str, text: str, highest: float) -> float:
    if not re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*", text) or float(text) > highest:
        raise DefinitionError(
            f"tag {tag}={text!r} is not a number from 0 to {highest:g}: write one like '0.1'"
        )
    return float(text)
