"""The settings of a simulation, and the world they give: population, rates and schemes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from generators.contracts import ClaimFraud, PaymentFraud, vocabulary
from generators.episodes import Schedule, Scheme
from generators.population import Population

DEFAULT_MIX: Mapping[str, float] = {"transactions": 0.40, "claims": 0.35, "iot": 0.25}


@dataclass(frozen=True)
class FraudRates:
    """Share of a stream's events that belong to each scheme (for telemetry: that are anomalous).

    Drift is a property of the devices (Population.drifting). Every account takeover also files one
    claim, which comes on top of the claims' own schemes.
    """

    card_testing: float = 0.0015
    account_takeover: float = 0.0010
    synthetic_identity: float = 0.0007
    bust_out: float = 0.0008
    velocity_abuse: float = 0.0015
    claim_ring: float = 0.03
    inflated_loss: float = 0.025
    spike: float = 0.004
    flatline: float = 0.006
    correlation_break: float = 0.008

    def scaled(self, factor: float) -> FraudRates:
        """Every rate times `factor`."""
        return FraudRates(**{name: factor * getattr(self, name) for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Scenario:
    """Everything an event depends on besides its stream, index and timestamp.

    `rate` is events a second of event time over all streams, split by `mix` (shares that need not
    sum to one). Schemes are laid out on that clock.
    """

    seed: int = 0
    rate: float = 5_000.0
    mix: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIX))
    fraud: FraudRates = field(default_factory=FraudRates)
    population: Population = field(default_factory=Population)

    def __post_init__(self) -> None:
        if self.rate <= 0 or not self.mix or min(self.mix.values()) < 0 or sum(self.mix.values()) <= 0:
            raise ValueError("give a rate above zero and a mix with at least one share above zero")

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def stream_rate(self, stream: str) -> float:
        """Events a second of one stream; a stream outside the mix runs at its default share."""
        whole = sum(self.mix.values())
        share = self.mix.get(stream) or DEFAULT_MIX[stream] * whole
        return self.rate * share / whole

    @cached_property
    def payment_schemes(self) -> tuple[Schedule, ...]:
        """Schedules of the payment schemes, in the order of their names in the contract."""
        shapes = {
            "card_testing": (6, 15, 8.0, 0.05),
            "account_takeover": (4, 10, 240.0, 0.3),
            "synthetic_identity": (6, 14, 14_400.0, 1.0),
            "bust_out": (8, 20, 600.0, 0.4),
            "velocity_abuse": (12, 30, 20.0, 0.08),
        }
        return tuple(self._schedule("transactions", name, *shapes[name]) for name in vocabulary(PaymentFraud))

    @cached_property
    def claim_rings(self) -> Schedule:
        """Schedule of the rings: a provider and its circle of users file claims one after another."""
        return self._schedule("claims", vocabulary(ClaimFraud)[0], 6, 14, 7_200.0, 0.15)

    def _schedule(
        self, stream: str, name: str, least: int, most: int, gap: float, relative: float
    ) -> Schedule:
        scheme = Scheme(name, getattr(self.fraud, name), least, most, gap, relative)
        return Schedule(self.seed, scheme, self.stream_rate(stream), self.population.users)

    def at_stream_rate(self, stream: str, rate: float) -> Scenario:
        """The same scenario with `rate` events a second of one stream."""
        return replace(self, rate=self.rate * rate / self.stream_rate(stream))
