"""The Redis side: features as Feast serves them, and the last payments of each card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import redis
from feast import FeatureStore

from examples.feature_store_api.formulas import NOWHERE
from examples.feature_store_api.warehouse import FEATURES

SERVICE, BATCH_VIEW = "fraud_detection", "card_features"
BATCH = ("hour_of_day", "day_of_week", "age_at_txn", "category", "gender", "city_pop")
CARDS = "txn:cards"
"""Every card by the moment (s) of its newest payment."""


def timeline(card: str) -> str:
    """Key of a card's payments of the last day, by moment (s)."""
    return f"txn:{card}:timeline"


def payment(card: str, transaction: str) -> str:
    """Key of one payment's fields."""
    return f"txn:{card}:data:{transaction}"


@dataclass(frozen=True)
class Card:
    """A card's features by name, None where nothing is known, and the moment of the newest payment they hold."""

    number: str
    stats: dict[str, Any]
    last_update: datetime


@dataclass
class Online:
    """The online store of `store`. Methods raise redis.ConnectionError when it is away."""

    store: FeatureStore

    def __post_init__(self) -> None:
        host, _, port = self.store.config.online_store.connection_string.partition(":")
        self.redis = redis.Redis(host, int(port.split(",")[0]), decode_responses=True)
        self.service = self.store.get_feature_service(SERVICE)

    def cards(self, limit: int, after: int = 0) -> list[str]:
        """Known cards, those with the newest payments first, from place `after` on."""
        return self.redis.zrevrange(CARDS, after, after + limit - 1)

    def count(self) -> int:
        """How many cards are known."""
        return int(self.redis.zcard(CARDS))

    def read(self, cards: Sequence[str]) -> list[Card]:
        """The features of those cards that the store knows, as of now."""
        if not cards:
            return []
        answer = self.store.get_online_features(self.service, [{"cc_num": card} for card in cards])
        columns = answer.to_dict()
        results = dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))
        stamps = [results[name].event_timestamps for name in FEATURES if len(results[name].event_timestamps)]
        found = []
        for i, card in enumerate(cards):
            newest = max((s[i].ToDatetime(UTC) for s in stamps), default=datetime.fromtimestamp(0, UTC))
            if newest.timestamp() > 0:
                stats = {name: columns[name][i] for name in FEATURES}
                if stats["distance_to_merchant"] == NOWHERE:
                    stats["distance_to_merchant"] = None
                found.append(Card(card, stats, newest))
        return found

    def recent(self, card: str, most: int) -> list[dict[str, str]]:
        """The newest payments with a card in the last day, newest first."""
        ids = self.redis.zrevrange(timeline(card), 0, most - 1)
        with self.redis.pipeline(transaction=False) as pipe:
            for one in ids:
                pipe.hgetall(payment(card, one))
            held = pipe.execute()
        return [{"transaction_id": one, **fields} for one, fields in zip(ids, held, strict=True) if fields]

    def take(self, rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
        """Write the batch features of cards (rows with cc_num and feature_timestamp) that are newer than what is
        held. How many were, and were not."""
        held = self._stamps([row["cc_num"] for row in rows])
        newer = [row for row in rows if row["feature_timestamp"] > held[row["cc_num"]]]
        if newer:
            frame = pd.DataFrame(newer)[["cc_num", *BATCH, "feature_timestamp"]]
            frame["created_at"] = pd.Timestamp.now(UTC)
            self.store.write_to_online_store(BATCH_VIEW, frame)
        return len(newer), len(rows) - len(newer)

    def _stamps(self, cards: Sequence[str]) -> dict[str, datetime]:
        never = datetime.fromtimestamp(0, UTC)
        if not cards:
            return {}
        answer = self.store.get_online_features(
            [f"{BATCH_VIEW}:{BATCH[0]}"], [{"cc_num": card} for card in cards]
        )
        names = list(answer.proto.metadata.feature_names.val)
        stamps = answer.proto.results[names.index(BATCH[0])].event_timestamps
        return {card: stamps[i].ToDatetime(UTC) if i < len(stamps) else never for i, card in enumerate(cards)}
