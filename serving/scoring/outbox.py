"""Scores, alerts and served features on their way to Kafka; a batch is done when the broker has all of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import repeat, starmap
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Sent

from serving.response import Column
from serving.scoring import columns
from serving.scoring.contracts import Alert, ModelScore, RiskScore
from serving.scoring.scorer import Scored, Served
from streaming.errors import KafkaAway
from streaming.history.parity import PLACE, SCORED
from streaming.outbox import Update, by_name, queue, row_type, stamps
from streaming.prepare import Prepared


@dataclass
class _Batch:
    waiting: int
    done: Callable[[], None]
    sealed: bool = False


@dataclass
class Outbox:
    """Sends what a batch makes; `done` of a batch is called, in order, when all before and of it is delivered.

    Raises KafkaAway from `poll` when the broker did not take a message.
    """

    producer: Producer
    scores: str
    alerts: str
    updates: str
    _batches: deque[_Batch] = field(default_factory=deque)
    _failed: KafkaError | None = None
    _encoder: msgspec.json.Encoder = field(default_factory=msgspec.json.Encoder)

    def begin(self, done: Callable[[], None]) -> None:
        """Begin a batch."""
        self._batches.append(_Batch(0, done))

    def end(self) -> None:
        """All of the batch was handed over."""
        self._batches[-1].sealed = True

    @property
    def waiting(self) -> int:
        """Batches that are not delivered."""
        return len(self._batches)

    def poll(self, seconds: float = 0.0) -> None:
        """Take in acknowledgements. Raises KafkaAway."""
        self.producer.poll(seconds)
        if self._failed is not None:
            raise KafkaAway(f"Kafka did not take a score ({self._failed.str()}): check the broker")
        while self._batches and self._batches[0].sealed and not self._batches[0].waiting:
            self._batches.popleft().done()

    def score(self, prepared: Prepared, scored: Scored, models: Mapping[str, np.ndarray], now: int) -> None:
        """Send the scores of each row; `models` has probabilities by name and version."""
        if not len(scored.rows):
            return
        service, keys = scored.service, scored.keys
        topic = prepared.plan.sources[int(prepared.source[scored.rows[0]])].topic
        part, offset = (held[scored.rows].tolist() for held in (prepared.part, prepared.offset))
        ids = prepared.event_ids
        shown = row_type(tuple(scored.plain))
        rows = zip(
            [f"{topic}/{p}/{o}" for p, o in zip(part, offset, strict=True)],
            stamps(prepared.time[scored.rows]),
            stamps(prepared.arrived[scored.rows]),
            repeat(stamps(np.array([now]))[0]),
            repeat(service.source),
            repeat(service.name),
            [ids[row] for row in scored.rows.tolist()],
            [{service.entity: _text(key)} for key in keys],
            columns.plain("DOUBLE", scored.score),
            repeat(service.score),
            (~scored.exact).tolist(),
            map(shown, *scored.plain.values()),
            _models(models, len(keys)),
        )
        self._send(self.scores, keys, starmap(_Score, rows))

    def alert(
        self, prepared: Prepared, scored: Scored, raised: Sequence[tuple[int, bool, list[str]]]
    ) -> None:
        """Send the alerts of `Alarms.of`."""
        for number, critical, decisions in raised:
            row = int(scored.rows[number])
            topic = prepared.plan.sources[int(prepared.source[row])].topic
            scores = {name: values[number] for name, values in scored.plain.items()}
            key = scored.keys[number]
            alert = Alert(
                alert_id=f"{topic}/{prepared.part[row]}/{prepared.offset[row]}",
                timestamp=datetime.fromtimestamp(int(prepared.time[row]) / 1000, UTC),
                event_type=scored.service.alarm.event_type if scored.service.alarm else scored.service.source,
                entity_id=_text(key),
                risk_score=scores[scored.service.score],
                alert_level="critical" if critical else "high",
                requires_action=bool(decisions),
                details={
                    "service": scored.service.name,
                    "event_id": prepared.event_ids[row],
                    "decisions": decisions,
                    "scores": scores,
                },
            )
            self._send(self.alerts, [key], [alert])

    def log(self, prepared: Prepared, scored: Scored, served: Served, which: np.ndarray) -> None:
        """Send a view's features as they were served to the rows `which`, with the places of their events."""
        rows = np.flatnonzero(which & served.found)
        if not len(rows):
            return
        part, offset = (held[scored.rows[rows]].tolist() for held in (prepared.part, prepared.offset))
        keys = [served.keys[row] or b"" for row in rows.tolist()]
        shown = row_type((*served.columns, PLACE))
        updates = zip(
            repeat(served.view.name),
            by_name(served.view, keys),
            stamps(served.at[rows]),
            repeat(SCORED),
            map(shown, *_logged(served, rows), zip(part, offset, strict=True)),
        )
        self._send(self.updates, keys, starmap(Update, updates))

    def close(self, seconds: float = 30.0) -> None:
        """Wait until everything is delivered. Raises KafkaAway."""
        self.producer.flush(seconds)
        self.poll()
        if self._batches:
            raise KafkaAway(
                f"Kafka did not take {len(self._batches)} batches of scores in time: check the broker"
            )

    def _send(self, topic: str, keys: Iterable[bytes | None], messages: Iterable[msgspec.Struct]) -> None:
        batch, encode = self._batches[-1], self._encoder.encode
        held = [{"key": key, "value": encode(one)} for key, one in zip(keys, messages, strict=True)]
        batch.waiting += len(held)
        queue(self.producer, topic, held, partial(self._delivered, batch), "score")

    def _delivered(self, batch: _Batch, error: KafkaError | None, _: Sent) -> None:
        batch.waiting -= 1
        self._failed = self._failed or error


class _Score(msgspec.Struct):
    """`RiskScore` with its times as text and its outputs as a struct, both quicker to write."""

    score_id: str
    timestamp: str
    arrived: str
    scored: str
    source: str
    service: str
    event_id: str | None
    entity: dict[str, str]
    score: float | None
    score_name: str
    inexact: bool
    scores: Any
    model: ModelScore | None


assert _Score.__struct_fields__ == RiskScore.__struct_fields__


def _logged(served: Served, rows: np.ndarray) -> list[list[Any]]:
    """The features as the online lane writes them, a list each; one that was withheld is left out."""
    held = list(served.columns.values())
    table = np.empty((len(held), len(served.found)), object)
    for place, column in enumerate(held):
        table[place] = _written(column)
    table[~np.array([column.valid for column in held], bool)] = None
    if served.withheld:
        none = np.zeros(len(served.found), bool)
        gone = [served.withheld.get(name, none) for name in served.columns]
        table[np.array(gone, bool)] = msgspec.UNSET
    return (table if len(rows) == len(served.found) else table[:, rows]).tolist()


def _written(column: Column) -> Any:
    """The values of a column, anything where it is null."""
    if column.dtype == "UNIX_TIMESTAMP":
        return stamps(np.where(column.valid, column.values, 0) * 1000)
    if column.dtype == "STRING":
        return [None if value is None else value.decode(errors="replace") for value in column.values.tolist()]
    return column.values


def _models(models: Mapping[str, np.ndarray], count: int) -> list[ModelScore | None]:
    """What the first of the models says of each row."""
    for named, probability in models.items():
        name, _, version = named.partition("/")
        values = columns.plain("DOUBLE", probability)
        return [ModelScore(name=name, version=version, probability=value) for value in values]
    return [None] * count


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
