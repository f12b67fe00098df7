"""Payments scored as they happen: features from Redis, exact at the payment, and the model over them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from feast import FeatureStore

from examples.card_fraud.payments import message
from examples.card_fraud.threshold import ORIGINAL
from generators import moments
from streaming.errors import TidemarkError
from training.models import Model

SERVICE = "card_scoring"
SINGLES = (23.40, 61.15, 118.00)
RAPID = 10
"""The demonstration: three payments with a card each, then ten in a row with a fourth."""


class WrongPayment(TidemarkError):
    """A payment that cannot be scored as it was given."""


@dataclass(frozen=True)
class Scored:
    """A payment's probability of fraud, what is decided, and what both rest on. `seconds` is how long that took.

    `streamed` is the probability that the scoring lane gave it as it passed, `after` the seconds from its arrival in Kafka
    to that; None where no lane was asked.
    """

    card: str
    amount: float
    probability: float
    fraud: bool
    features: dict[str, float | None]
    seconds: float
    streamed: float | None = None
    after: float | None = None


@dataclass(frozen=True)
class Predictor:
    """Scores payments that have not passed through the stream yet."""

    store: FeatureStore
    model: Model
    threshold: float = ORIGINAL

    def score(self, card: str, amount: float) -> Scored:
        """A card never seen is scored by this payment alone. Raises WrongPayment."""
        began = time.perf_counter()
        if not isinstance(card, str) or not card:
            raise WrongPayment(f"card_id is {card!r}: give the card's token as text")
        if (
            isinstance(amount, bool)
            or not isinstance(amount, int | float)
            or not math.isfinite(amount)
            or amount <= 0
        ):
            raise WrongPayment(f"amount is {amount!r}: give dollars above 0")
        request = {"card_id": [card], "amount": [float(amount)], "event_included": [False]}
        service = self.store.get_feature_service(SERVICE)
        read = self.store.get_online_features(service, request).to_dict()
        features = {name: values[0] for name, values in {**request, **read}.items() if name != "card_id"}
        columns = {name: np.array([features[name]], float) for name in self.model.features}
        probability = float(self.model.probability(columns)[0])
        taken = time.perf_counter() - began
        return Scored(card, amount, probability, probability >= self.threshold, features, taken)


@dataclass(frozen=True)
class Demonstration:
    """Single payments with three cards, and rapid small ones with a fourth; each is scored, then sent.

    `send` takes (tid, key, message) and returns the lane's probability and how long it took, if a lane runs, once the
    payment counts in Redis.
    """

    predictor: Predictor
    send: Callable[[str, bytes, bytes], tuple[float, float] | None]

    def run(self, cards: Sequence[str], pause: float = 1.0, seed: int = 1) -> Iterator[Scored]:
        """`cards` are four; `pause` is the least time between rapid payments in seconds."""
        rng = np.random.default_rng(seed)
        rapid = [round(float(amount), 2) for amount in rng.uniform(1, 50, RAPID)]
        played = [*zip(cards[:3], SINGLES, strict=True), *((cards[3], amount) for amount in rapid)]
        for number, (card, amount) in enumerate(played):
            began = time.monotonic()
            scored = self.predictor.score(card, amount)
            tid = f"demo-{time.time_ns()}"
            streamed, after = self.send(tid, card.encode(), now(tid, card, amount)) or (None, None)
            yield replace(scored, streamed=streamed, after=after)
            if number >= len(SINGLES):
                time.sleep(max(pause - (time.monotonic() - began), 0))


def now(tid: str, card: str, amount: float) -> bytes:
    """The message of a payment that happens now."""
    at = moments.iso(np.array([int(time.time() * 1000)]))[0]
    return message(tid, card, None, amount, "00000", at, None)


def expected(scored: Sequence[Scored]) -> dict[str, Any]:
    """What was flagged: of the single payments, of the first rapid one, and of the other nine."""
    singles, first, others = scored[:3], scored[3], scored[4:]
    return {
        "singles": sum(one.fraud for one in singles),
        "first": first.fraud,
        "others": sum(one.fraud for one in others),
    }
