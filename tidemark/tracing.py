"""An event's way, put together from what each part has written down: topics, tables and the lane's ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from confluent_kafka import Message
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from streaming import kafka
from streaming import source as admission
from streaming.checkpoint import Checkpoint, Entry
from streaming.plan import Plan, Source
from tidemark.log_eraser import naming
from tidemark.log_reader import LogReader, reading

MOST = 2_000_000
"""Messages of a topic that are looked at, from the event's arrival on."""


@dataclass(frozen=True)
class Place:
    """Where a message is in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def of(cls, text: str) -> Place | None:
        """The place that a text names as topic/partition/offset; None for any other text."""
        match = re.fullmatch(r"(.+)/(\d+)/(\d+)", text)
        return cls(match[1], int(match[2]), int(match[3])) if match else None


@dataclass
class Copy:
    """One message of an event: what became of it. Absent is what was not found (any more)."""

    place: Place
    arrived: datetime | None = None
    event_time: datetime | None = None
    outcome: str = "unknown"
    """admitted, duplicate, or why it was quarantined."""
    batch: int | None = None
    batch_cut: datetime | None = None
    dead_letter: bool = False
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By view, as served after the batch."""
    score: dict[str, Any] | None = None
    alert: dict[str, Any] | None = None


@dataclass(frozen=True)
class Trace:
    """Follows events of a plan; `root` is the history, `online` the online lane's checkpoint, `archive` history's arrivals."""

    spark: SparkSession
    plan: Plan
    root: str
    online: Checkpoint
    archive: Checkpoint
    updates: str = "feature-updates"
    dead_letters: str = "dead-letter"
    scores: str = "risk-scores"
    alerts: str = "alerts"

    def follow(self, event: str) -> list[Copy]:
        """Every message of an event, by its id or its place (topic/partition/offset), in the order of Kafka's places."""
        given = Place.of(event)
        places = {given} if given else {*self._archived(event), *self._in_the_log(event)}
        copies = [self._copy(place) for place in sorted(places, key=str)]
        kept = [copy for copy in copies if copy.outcome == "admitted"]
        for later in sorted(
            kept, key=lambda c: (c.batch if c.batch is not None else 2**62, c.place.partition, c.place.offset)
        )[1:]:
            later.outcome, later.features = "duplicate", {}
        return copies

    def _source(self, topic: str) -> Source | None:
        return next((s for s in self.plan.sources if s.topic == topic), None)

    def _table(self, name: str) -> DataFrame | None:
        try:
            return self.spark.read.format("delta").load(f"{self.root.rstrip('/')}/{name}")
        except AnalysisException:
            return None

    def _archived(self, event: str) -> Iterator[Place]:
        """Places in the tables of history."""
        found: list[DataFrame] = []
        for source in self.plan.sources:
            table = self._table(f"events/{source.name}") if source.event_id else None
            if table is not None:
                found.append(table.where(F.col(source.event_id) == event))
        quarantine = self._table("quarantine")
        if quarantine is not None:
            found.append(quarantine.where(F.col("_value").cast("string").contains(event)))
        for table in found:
            for row in table.select("_topic", "_partition", "_offset").collect():
                yield Place(*row)

    def _in_the_log(self, event: str) -> Iterator[Place]:
        """Places in what history has not read yet; without history in everything."""
        reached = self.archive.entry(self.archive.last_committed())
        names = naming(event)
        for source in self.plan.sources:
            ends = reached.end.get(source.topic, {}) if reached else {}
            with self._reader() as reader:
                starts = {int(p): end for p, end in ends.items()}
                for message in islice(reader.read(source.topic, starts), MOST):
                    if names(message.value() or b""):
                        yield Place(source.topic, message.partition() or 0, message.offset() or 0)

    def _copy(self, place: Place) -> Copy:
        copy, source = Copy(place), self._source(place.topic)
        if source is None:
            return copy
        row = self._admitted(place, source)
        if row is None:
            return copy
        copy.arrived, copy.event_time = _utc(row._arrived), _utc(row.time)
        copy.outcome = "admitted" if not row._code else f"quarantined: {admission.reason(source, row._code)}"
        entry = self._entry(place)
        if entry is not None:
            copy.batch, copy.batch_cut = entry.batch, datetime.fromtimestamp(entry.time / 1000, UTC)
        since = int(row._arrived.timestamp() * 1000)
        if row._code:
            wanted = str(place).encode()
            copy.dead_letter = any(m.key() == wanted for m in self._since(self.dead_letters, since))
        else:
            keys = {view.name: row[f"key_{n}"] for n, view in enumerate(self.plan.of_source(source.name))}
            copy.features = self._served(keys, copy.batch, since)
            copy.score = self._named(self.scores, since, "score_id", place)
            copy.alert = self._named(self.alerts, since, "alert_id", place)
        return copy

    def _admitted(self, place: Place, source: Source) -> Row | None:
        """The message as the lanes' own expressions judge it; None when neither Kafka nor the tables have it."""
        with self._reader() as reader:
            low, high = reader.bounds(place.topic).get(place.partition, (0, 0))
        if not low <= place.offset < high:
            return self._stored(place, source)
        raw = (
            self.spark.read.format("kafka")
            .options(**kafka.reader(source.bootstrap_servers))
            .option("assign", json.dumps({place.topic: [place.partition]}))
            .option("startingOffsets", json.dumps({place.topic: {str(place.partition): place.offset}}))
            .option("endingOffsets", json.dumps({place.topic: {str(place.partition): place.offset + 1}}))
            .load()
        )
        rows = admission.admit(raw, self.plan.sources)
        return self._asked(rows, source).first()

    def _asked(self, rows: DataFrame, source: Source) -> DataFrame:
        number = self.plan.sources.index(source)
        keys = []
        for n, view in enumerate(self.plan.of_source(source.name)):
            parts = [F.expr(sql).cast("string").alias(name) for name, sql in view.keys]
            keys.append(F.to_json(F.struct(*parts)).alias(f"key_{n}"))
        time = F.col(f"source_{number}")[source.timestamp_field].cast("timestamp").alias("time")
        return rows.select("_arrived", "_code", time, *keys)

    def _stored(self, place: Place, source: Source) -> Row | None:
        """The message from the tables, once Kafka has deleted it."""
        from streaming.archive import tables

        mine = (
            (F.col("_topic") == place.topic)
            & (F.col("_partition") == place.partition)
            & (F.col("_offset") == place.offset)
        )
        held = self._table(f"events/{source.name}")
        if held is not None:
            own = [F.col(f"`{n}`") for n in tables.events(source).schema.names[: -len(tables.ADDED)]]
            number = self.plan.sources.index(source)
            rows = held.where(mine).select(
                F.struct(*own).alias(f"source_{number}"), "_arrived", F.lit(0).alias("_code")
            )
            if row := self._asked(rows, source).first():
                return row
        return None

    def _entry(self, place: Place) -> Entry | None:
        """The online lane's batch that took the message."""
        for entry in self.online.entries(self.online.last_committed()):
            start = entry.start.get(place.topic, {}).get(str(place.partition), 0)
            if start <= place.offset < entry.end.get(place.topic, {}).get(str(place.partition), 0):
                return entry
        return None

    def _served(self, keys: Mapping[str, str], batch: int | None, since: int) -> dict[str, dict[str, Any]]:
        """Features of the event's entities after its batch, by view: from the feature log, else from its topic."""
        wanted = {view: json.loads(key) for view, key in keys.items() if key}
        found: dict[str, dict[str, Any]] = {}
        if batch is None:
            return found
        log = self._table("feature_log")
        if log is not None:
            mine = log.where((F.col("batch") == batch) & F.col("view").isin(list(wanted)))
            arrived = mine.where(F.unix_millis("_arrived") >= since)
            for row in arrived.select("view", "entity", "features").collect():
                if _same(json.loads(row.entity), wanted[row.view]):
                    found[row.view] = json.loads(row.features)
        if wanted.keys() - found.keys():
            for message in self._since(self.updates, since):
                held = _object(message)
                if held.get("batch") == batch and _same(held.get("entity"), wanted.get(held.get("view", ""))):
                    found[held["view"]] = held["features"]
        return found

    def _named(self, topic: str, since: int, name: str, place: Place) -> dict[str, Any] | None:
        needle = str(place).encode()
        for message in self._since(topic, since):
            if needle in (message.value() or b"") and (held := _object(message)).get(name) == str(place):
                return held
        return None

    def _since(self, topic: str, since: int) -> Iterator[Message]:
        """Messages of a topic from a time (ms) on."""
        with self._reader() as reader:
            yield from islice(reader.read(topic, reader.at(topic, since)), MOST)

    def _reader(self) -> AbstractContextManager[LogReader]:
        return reading(self.plan.sources[0].bootstrap_servers, "tidemark-trace")


def _object(message: Message) -> dict[str, Any]:
    try:
        held = json.loads(message.value() or b"{}")
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _same(one: Any, other: Any) -> bool:
    """Whether two entities are one: by their join keys as text."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    return {k: str(v) for k, v in one.items()} == {k: str(v) for k, v in other.items()}


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None


def plain(copies: Iterable[Copy]) -> list[dict[str, Any]]:
    """The copies as JSON values."""
    return [
        {
            **{
                name: getattr(copy, name)
                for name in ("outcome", "batch", "dead_letter", "features", "score", "alert")
            },
            "place": str(copy.place),
            **{
                name: moment.isoformat(timespec="milliseconds") if (moment := getattr(copy, name)) else None
                for name in ("arrived", "event_time", "batch_cut")
            },
        }
        for copy in copies
    ]
