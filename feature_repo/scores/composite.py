"""A weighted sum of components, and what each of them contributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from feature_repo.scores.inputs import Floats, table


@dataclass(frozen=True)
class Composite:
    """A score called `name`; `weights` by component. A null component counts as 0."""

    name: str
    weights: Mapping[str, float]

    @property
    def shares(self) -> tuple[str, ...]:
        """Names of the components' shares, in the order of `weights`."""
        return tuple(f"{component}_share" for component in self.weights)

    def of(self, components: Mapping[str, Floats]) -> dict[str, Floats]:
        """The score, and as `<component>_share` the part of it that each component makes up.

        Shares add up to 1, or are all 0 where the score is 0. Reason codes are the largest shares.
        """
        parts = self._factors * table(components[name] for name in self.weights)
        total = np.add.reduce(parts, axis=0)
        whole = np.where(total > 0, total, 1.0)
        return {self.name: total, **dict(zip(self.shares, parts / whole, strict=True))}

    @cached_property
    def _factors(self) -> Floats:
        return np.array([*self.weights.values()])[:, None]

    def reasons(self, scores: Mapping[str, Floats], row: int, most: int = 3) -> list[tuple[str, float]]:
        """(component, share) of one row, the largest first, without those that contribute nothing."""
        found = [(name, float(scores[f"{name}_share"][row])) for name in self.weights]
        return sorted([pair for pair in found if pair[1] > 0], key=lambda pair: -pair[1])[:most]
