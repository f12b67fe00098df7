"""Weeks of card payments of the shared population, with chains of fraud and honest sprees in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from examples.card_fraud.settings import CardSettings
from generators import moments
from generators.population import Population
from generators.scenario import FraudRates, Scenario
from generators.simulate import Simulation

DAY = 86_400_000
PIECE, SENT = 100_000, 8_000
"""Payments made, and messages handed over, in one go."""
CHAIN, GAP = (3, 10), (30.0, 120.0)
"""A chain of fraud has 3 to 10 payments, 30 to 120 seconds apart."""
SPREE, PAUSE = (1, 3), (20.0, 240.0)
"""An honest spree: 1 to 3 more payments, 20 to 240 seconds apart."""


@dataclass(frozen=True)
class Payments:
    """Payments in order of time (ms). `chain` numbers the chain of a fraud, -1 for honest ones."""

    at: np.ndarray
    card: np.ndarray
    merchant: np.ndarray
    amount: np.ndarray
    zip_code: np.ndarray
    chain: np.ndarray

    def __len__(self) -> int:
        return len(self.at)

    @property
    def fraud(self) -> np.ndarray:
        return self.chain >= 0

    def messages(self) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Kafka keys and JSON values, in pieces."""
        for begin in range(0, len(self), SENT):
            cut = slice(begin, begin + SENT)
            cards = self.card[cut].tolist()
            columns = (
                range(begin, begin + len(cards)),
                cards,
                self.merchant[cut].tolist(),
                self.amount[cut].tolist(),
                self.zip_code[cut].tolist(),
                moments.iso(self.at[cut]).tolist(),
                self.fraud[cut].tolist(),
            )
            yield (
                [card.encode() for card in cards],
                [message(f"T{n:010d}", *rest) for n, *rest in zip(*columns, strict=True)],
            )


def message(
    tid: str, card: str, merchant: str | None, amount: float, zip_code: str, at: bytes, fraud: bool | None
) -> bytes:
    """One payment as it is sent; `fraud` is None while nobody knows."""
    return msgspec.json.encode(
        {
            "tid": tid,
            "card_id": card,
            "merchant_id": merchant,
            "amount": amount,
            "zip_code": zip_code,
            "timestamp": at.decode(),
            "is_fraud": fraud,
        }
    )


def simulate(settings: CardSettings, until: datetime) -> Payments:
    """The payments of `settings.days` days before `until`.

    The honest ones are the population's own. The payments of a chain have amounts and merchants of honest payments
    chosen at random, whatever the chain's length: nothing but their rhythm gives them away.
    """
    honest = _honest(settings, int(until.timestamp() * 1000))
    rng = np.random.default_rng(settings.seed)
    sprees = rng.choice(len(honest), round(settings.spree_rate * len(honest)), replace=False)
    follow = _after(rng, honest, sprees, SPREE, PAUSE, chain=False)
    chains = max(round(settings.fraud_rate * len(honest) / np.mean(CHAIN)), 3)
    begin = rng.choice(len(honest), chains, replace=False)
    frauds = _after(rng, honest, begin, CHAIN, GAP, chain=True)
    held = [honest, follow, frauds]
    together = [np.concatenate([getattr(p, name) for p in held]) for name in Payments.__dataclass_fields__]
    order = np.argsort(together[0], kind="stable")
    order = order[together[0][order] < int(until.timestamp() * 1000)]
    return Payments(*(column[order] for column in together))


def _honest(settings: CardSettings, until: int) -> Payments:
    rate = settings.users * settings.a_day / 86_400
    population = Population(users=settings.users)
    plain = Scenario(seed=settings.seed, fraud=FraudRates().scaled(0), population=population)
    simulation = Simulation(plain.at_stream_rate("transactions", rate))
    count = int(rate * settings.days * 86_400)
    parts = []
    for first in range(0, count, PIECE):
        at = simulation.times("transactions", until - settings.days * DAY, first, min(first + PIECE, count))
        made = simulation.events("transactions", first, at)
        names = ("card_id", "merchant_id", "amount", "zip_code")
        parts.append([at, *(np.asarray(made[name], object) for name in names)])
    at, card, merchant, amount, zip_code = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Payments(at, card, merchant, amount.astype(float), zip_code, np.full(len(at), -1))


def _after(
    rng: np.random.Generator,
    honest: Payments,
    begin: np.ndarray,
    size: tuple[int, int],
    gap: tuple[float, float],
    *,
    chain: bool,
) -> Payments:
    """Series of payments with the cards of honest ones, each beginning a gap after one of them."""
    sizes = rng.integers(size[0], size[1] + 1, len(begin))
    which = np.repeat(np.arange(len(begin)), sizes)
    waits = rng.uniform(*gap, len(which)) * 1000
    upto = np.cumsum(waits)
    heads = np.cumsum(sizes) - sizes
    since = upto - (upto - waits)[heads][which]
    like = rng.integers(0, len(honest), len(which))
    origin = begin[which]
    return Payments(
        # A chain does not begin where an honest payment just was: the thief knows nothing of it.
        honest.at[origin]
        + since.astype(np.int64)
        + (rng.integers(0, DAY, len(begin))[which] if chain else 0),
        honest.card[origin],
        honest.merchant[like],
        honest.amount[like],
        honest.zip_code[origin],
        which if chain else np.full(len(which), -1),
    )
