"""Scores, alerts and served features on their way to Kafka; a batch is done when the broker has all of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Sent

from serving.response import Column
from serving.scoring import columns
from serving.scoring.contracts import Alert, ModelScore, RiskScore
from serving.scoring.scorer import Scored, Served
from streaming import failpoints
from streaming.errors import KafkaAway
from streaming.history.parity import PLACE, SCORED
from streaming.merger import entities
from streaming.prepare import Prepared


class Update(msgspec.Struct):
    """A served vector in the topic feature-updates, as the online lane's are; `features` have PLACE too."""

    view: str
    entity: dict[str, Any]
    event_timestamp: str
    batch: int
    features: Any


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
        service = scored.service
        shown = _row(tuple(service.outputs))
        outputs = [columns.plain(dtype, scored.scores[name]) for name, dtype in service.outputs.items()]
        score = columns.plain("DOUBLE", scored.score)
        topic = prepared.plan.sources[int(prepared.source[scored.rows[0]])].topic if len(scored.rows) else ""
        stamps, arrived = (_stamps(held[scored.rows]) for held in (prepared.time, prepared.arrived))
        moment = _stamps(np.array([now]))[0]
        ids = prepared.event_ids
        place = zip(prepared.part[scored.rows].tolist(), prepared.offset[scored.rows].tolist(), strict=True)
        says = (
            [_model(models, row) for row in range(len(scored.rows))] if models else [None] * len(scored.rows)
        )
        rows = zip(
            scored.rows.tolist(), place, stamps, arrived, scored.keys, score, (~scored.exact).tolist(),
            zip(*outputs, strict=True), says, strict=True,
        )  # fmt: skip
        for row, (part, offset), stamp, came, key, total, inexact, values, said in rows:
            message = _Score(
                f"{topic}/{part}/{offset}", stamp, came, moment, service.source, service.name, ids[row],
                {service.entity: _text(key)}, total, service.score, inexact, shown(*values), said,
            )  # fmt: skip
            self._send(self.scores, key, self._encoder.encode(message))

    def alert(
        self, prepared: Prepared, scored: Scored, raised: Sequence[tuple[int, bool, list[str]]]
    ) -> None:
        """Send the alerts of `Alarms.of`."""
        for number, critical, decisions in raised:
            row = int(scored.rows[number])
            topic = prepared.plan.sources[int(prepared.source[row])].topic
            outputs = scored.service.outputs
            scores = {
                n: columns.plain(dtype, scored.scores[n][number : number + 1])[0]
                for n, dtype in outputs.items()
            }
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
            self._send(self.alerts, key, self._encoder.encode(alert))

    def log(self, prepared: Prepared, scored: Scored, served: Served, which: np.ndarray) -> None:
        """Send a view's features as they were served to the rows `which`, with the places of their events."""
        which = which & served.found
        rows = np.flatnonzero(which)
        if not len(rows):
            return
        held = [_logged(column, served.withheld.get(name), rows) for name, column in served.columns.items()]
        shown = _row((*served.columns, PLACE))
        keys = [served.keys[row] or b"" for row in rows.tolist()]
        names = [name for name, _ in served.view.join_keys]
        places = zip(
            prepared.part[scored.rows[rows]].tolist(),
            prepared.offset[scored.rows[rows]].tolist(),
            strict=True,
        )
        columns_ = (
            keys,
            entities(served.view, keys),
            _stamps(served.at[rows]),
            zip(*held, strict=True),
            places,
        )
        for key, entity, stamp, values, place in zip(*columns_, strict=True):
            parts = (
                entity
                if isinstance(entity, tuple)
                else (_text(entity) if isinstance(entity, bytes) else entity,)
            )
            update = Update(
                served.view.name, dict(zip(names, parts, strict=True)), stamp, SCORED, shown(*values, place)
            )
            self._send(self.updates, key, self._encoder.encode(update))

    def close(self, seconds: float = 30.0) -> None:
        """Wait until everything is delivered. Raises KafkaAway."""
        self.producer.flush(seconds)
        self.poll()
        if self._batches:
            raise KafkaAway(
                f"Kafka did not take {len(self._batches)} batches of scores in time: check the broker"
            )

    def _send(self, topic: str, key: bytes | None, value: bytes) -> None:
        batch = self._batches[-1]
        batch.waiting += 1
        if failpoints.ARMED:
            failpoints.reach("score")
        told = partial(self._delivered, batch)
        while True:
            try:
                self.producer.produce(topic, value, key, on_delivery=told)
            except BufferError:
                self.producer.poll(0.1)
            else:
                return

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


@lru_cache(maxsize=256)
def _row(names: tuple[str, ...]) -> type[msgspec.Struct]:
    fields = [(f"f{i}", Any) for i in range(len(names))]
    return msgspec.defstruct("Row", fields, rename={f"f{i}": name for i, name in enumerate(names)})


def _logged(column: Column, withheld: np.ndarray | None, rows: np.ndarray) -> list[Any]:
    """As the online lane writes a feature; one that was withheld is left out."""
    values, valid = column.values[rows], column.valid[rows]
    if column.dtype == "UNIX_TIMESTAMP":
        held: list[Any] = list(_stamps(np.where(valid, values, 0) * 1000))
    elif column.dtype == "STRING":
        held = [None if v is None else v.decode(errors="replace") for v in values.tolist()]
    else:
        held = values.tolist()
    if not valid.all():
        held = [value if ok else None for value, ok in zip(held, valid.tolist(), strict=True)]
    if withheld is not None and withheld[rows].any():
        gone = withheld[rows].tolist()
        held = [msgspec.UNSET if out else value for value, out in zip(held, gone, strict=True)]
    return held


def _model(models: Mapping[str, np.ndarray], row: int) -> ModelScore | None:
    for named, probability in models.items():
        name, _, version = named.partition("/")
        value = float(probability[row])
        return ModelScore(name=name, version=version, probability=value if np.isfinite(value) else None)
    return None


def _stamps(millis: np.ndarray) -> list[str]:
    return [text + "Z" for text in np.datetime_as_string(millis.astype("M8[ms]"), unit="ms").tolist()]


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
