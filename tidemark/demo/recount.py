"""An independent count: the topics read again from their beginning, without Spark or Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from generators.contracts import STREAMS
from serving.scoring.contracts import Alert, RiskScore
from tidemark.log_reader import reading

GROUP = "tidemark-demo"
SKEW = 5.0
"""Seconds an event may be ahead of the broker's clock, as the sources allow."""


@dataclass
class Recount:
    """Good events, each once, by entity: `counts["user", "transactions"]["CUST1"]`."""

    messages: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    """Device type of each device."""
    merchants: dict[str, Counter[str]] = field(default_factory=dict)
    """Whom each user paid, and how often."""
    providers: dict[str, str] = field(default_factory=dict)
    """The provider behind a user's latest claim."""

    def add(self, stream: str, messages: Iterable[tuple[bytes | None, float]]) -> None:
        """Count messages of a stream: their values, and when the broker took them (epoch seconds)."""
        contract, id_field = STREAMS[stream].contract, STREAMS[stream].event_id
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(contract)
        seen = self._seen.setdefault(stream, set())
        for value, arrived in messages:
            self.messages[stream] += 1
            try:
                event = decoder.decode(value or b"")
            except msgspec.DecodeError:  # validation errors are decoding errors too
                self.broken[stream] += 1
                continue
            if event.timestamp.timestamp() > arrived + SKEW:
                self.broken[stream] += 1
            elif (event_id := getattr(event, id_field)) in seen:
                self.duplicates[stream] += 1
            else:
                seen.add(event_id)
                self._count(stream, event)

    def _count(self, stream: str, event: Any) -> None:
        if stream == "iot":
            self.of("device", stream)[event.device_id] += 1
            self.types[event.device_id] = event.device_type
            return
        self.of("user", stream)[event.user_id] += 1
        if stream == "claims":
            self.providers[event.user_id] = event.provider_id
        elif event.merchant_id is not None:
            self.of("merchant", stream)[event.merchant_id] += 1
            self.merchants.setdefault(event.user_id, Counter())[event.merchant_id] += 1

    def of(self, entity: str, stream: str) -> Counter[str]:
        """Good events of a stream by entity."""
        return self.counts.setdefault((entity, stream), Counter())

    def __post_init__(self) -> None:
        self._seen: dict[str, set[str]] = {}


def recount(bootstrap: str) -> Recount:
    """Read the three topics to their present end. Raises KafkaAway when the broker stops answering."""
    result = Recount()
    with reading(bootstrap, GROUP) as reader:
        for stream in STREAMS:
            messages = reader.read(STREAMS[stream].topic)
            result.add(stream, ((m.value(), m.timestamp()[1] / 1000) for m in messages))
    return result


@dataclass
class Scores:
    """What the topics risk-scores and alerts hold; `latencies` (s) are from Kafka's event to Kafka's score."""

    scored: Counter[str] = field(default_factory=Counter)
    inexact: int = 0
    repeated: int = 0
    latencies: list[float] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    def problems(self, good: Mapping[str, int]) -> list[str]:
        """What is wrong, given the good events of each source."""
        return [
            f"{source}: {count} good events, {self.scored[source]} scored"
            for source, count in good.items()
            if self.scored[source] != count
        ]


def rescore(
    bootstrap: str, since: float, until: float, scores: str = "risk-scores", alerts: str = "alerts"
) -> Scores:
    """Read both topics to their present end; latencies are of events that arrived `since`..`until` (epoch seconds).

    Raises KafkaAway when the broker stops answering.
    """
    result, seen = Scores(), set[str]()
    score, alert = msgspec.json.Decoder(RiskScore), msgspec.json.Decoder(Alert)
    with reading(bootstrap, GROUP) as reader:
        for message in reader.read(scores):
            held = score.decode(message.value() or b"")
            if held.score_id in seen:
                result.repeated += 1
                continue
            seen.add(held.score_id)
            result.scored[held.source] += 1
            result.inexact += held.inexact
            arrived = held.arrived.timestamp()
            if since <= arrived <= until:
                result.latencies.append(message.timestamp()[1] / 1000 - arrived)
        result.alerts = [alert.decode(message.value() or b"") for message in reader.read(alerts)]
    return result


def size(bootstrap: str, topic: str) -> int:
    """Messages that a topic holds."""
    with reading(bootstrap, GROUP) as reader:
        return sum(high - low for low, high in reader.bounds(topic).values())
