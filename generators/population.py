"""One population that all streams share: users, what they hold, merchants, providers and devices."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from generators.draws import Floats, Ints, Words, below, unit
from generators.machines import Machines, make_machines
from generators.people import People, make_people
from generators.places import Places, make_places
from generators.trade import Merchants, Providers, make_merchants, make_providers


@dataclass(frozen=True)
class Population:
    """Sizes, seed and skew. Parts are built when first used; equal populations have equal members.

    Activity falls off with rank r (the row + 1) about as r ** -zipf; zero is uniform. `hot_share` gives
    the first row that share of all events and the others what is left. Both hold for users (claims
    and transactions) and for devices. `drifting` is the share of devices drifting at any one time.
    """

    seed: int = 0
    users: int = 20_000
    merchants: int = 2_000
    providers: int = 500
    devices: int = 5_000
    zipf: float = 0.5
    hot_share: float = 0.0
    drifting: float = 0.02

    def __post_init__(self) -> None:
        if min(self.users, self.merchants, self.providers, self.devices) < 1:
            raise ValueError("a population needs at least one user, merchant, provider and device")
        if not (0 <= self.hot_share < 1 and 0 <= self.drifting <= 0.2 and self.zipf >= 0):
            raise ValueError("give hot_share in [0, 1), drifting in [0, 0.2] and zipf >= 0")

    def __getstate__(self) -> dict[str, Any]:
        """Settings alone: another process builds its own members, which are the same."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @cached_property
    def places(self) -> Places:
        return make_places(self.seed)

    @cached_property
    def people(self) -> People:
        return make_people(self.seed, self.users, self.places)

    @cached_property
    def traders(self) -> Merchants:
        return make_merchants(self.seed, self.merchants, self.places)

    @cached_property
    def carers(self) -> Providers:
        return make_providers(self.seed, self.providers)

    @cached_property
    def machines(self) -> Machines:
        return make_machines(self.seed, self.devices, self.places, self.drifting)

    def user(self, words: Words) -> Ints:
        """The user behind each random word."""
        return self._pick(words, self.users)

    def victim(self, words: Words) -> Ints:
        """A user by activity, were there no hot one: those whom thieves meet."""
        if self.zipf == 0:
            return below(words, self.users)
        return ranks(unit(words), 1, self.users + 1, self.zipf) - 1

    def device(self, words: Words) -> Ints:
        """The device behind each random word."""
        return self._pick(words, self.devices)

    def _pick(self, words: Words, size: int) -> Ints:
        if self.zipf == 0 and self.hot_share == 0:
            return below(words, size)
        u = unit(words)
        if not self.hot_share or size == 1:
            return ranks(u, 1, size + 1, self.zipf) - 1
        rest = np.maximum(u - self.hot_share, 0) / (1 - self.hot_share)
        return np.where(u < self.hot_share, 0, ranks(rest, 2, size + 1, self.zipf) - 1)


def ranks(u: Floats, low: int, high: int, zipf: float) -> Ints:
    """Uniforms to ranks of [low, high) with density r ** -zipf: the inverse of the bounded Pareto law."""
    if zipf == 1:
        exact = low * (high / low) ** u
    else:
        power = 1 - zipf
        exact = (low**power + u * (high**power - low**power)) ** (1 / power)
    return np.minimum(exact.astype(np.int64), high - 1)
