"""Training/serving skew, measured: served vectors against the same features recomputed from history.

A served vector has a moment: the time it was evaluated at, and the batch it had seen. The ledger knows the
offsets at that batch's end, so history can be asked what a lane had seen then, for entities whose events span
partitions too. What differs is recomputed again without late events and without second copies, to tell why.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streaming.checkpoint import Checkpoint, Entry
from streaming.history import asof, store
from streaming.history.events import Events, entity_key
from streaming.history.rows import AFTER_ALL
from streaming.plan import Feature, Source, View

SCORED = -2
"""The batch of a vector that the scoring lane logged: none of an online lane."""
PLACE = "_place"
"""Where its event is, among the features of such a vector: [partition, offset]."""

CANCELLED = 1e-6
"""Part of a feature's largest value below which a sum is no longer compared with itself: its addends were larger."""

EXPLAINED = 2_000
"""Vectors of a view that are looked into when they differ."""


@dataclass(frozen=True)
class Vector:
    """Features as they were served: to `entity` (join keys), evaluated at `time` (ms) after `batch`.

    `features` are as the topic feature-updates has them; one that is absent was withheld as incomplete. A vector of
    the scoring lane has, instead of a batch, `place`: partition and offset of the event that it includes as the last.
    """

    entity: Mapping[str, Any]
    time: int
    batch: int
    features: Mapping[str, Any]
    place: tuple[int, int] | None = None


@dataclass
class FeatureParity:
    """Counts of compared values of one feature; `reasons` of those that differ."""

    compared: int = 0
    equal: int = 0
    mismatched: int = 0
    missing: int = 0
    largest: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def add(self, feature: Feature, served: Any, computed: Any, about: str, size: float = 0.0) -> bool:
        """Compare one value; whether it is equal. `missing` is what one side has and the other has not.

        `size` is the feature's largest value: what cancels to nearly nothing is equal to CANCELLED of it.
        """
        self.compared += 1
        error = difference(feature, served, computed, size)
        if error == 0 or error <= tolerance(feature):
            self.equal += 1
            self.largest = max(self.largest, error)
            return True
        if (served is None) != (computed is None):
            self.missing += 1
        else:
            self.mismatched += 1
            self.largest = max(self.largest, error)
        self.example = self.example or f"{about}: served {served!r}, history {computed!r}"
        return False


def tolerance(feature: Feature) -> float:
    """Largest relative error that counts as equal: sums are added in another order; the rest is exact."""
    summed = feature.function in ("sum", "mean", "std", "var", "std_pop", "var_pop")
    if feature.dtype == "FLOAT":
        return 1.2e-7 if summed else 0.0
    return 1e-9 if summed else 0.0


def difference(feature: Feature, served: Any, computed: Any, size: float = 0.0) -> float:
    """Relative error between two values of a feature; 0 for the same, 1 for what has no size to compare."""
    if served is None or computed is None:
        return 0.0 if served is computed else 1.0
    if feature.dtype == "FLOAT":
        served, computed = (_single(value) for value in (served, computed))
    if feature.dtype == "UNIX_TIMESTAMP":
        served, computed = (_seconds(value) for value in (served, computed))
    if served == computed:
        return 0.0
    if isinstance(served, str) or isinstance(computed, str):
        return 1.0
    least = CANCELLED * size if tolerance(feature) else 0.0
    return abs(served - computed) / max(abs(served), abs(computed), least)


def _size(values: Iterable[Any]) -> float:
    """The largest number among `values`."""
    return max((abs(v) for v in values if isinstance(v, int | float)), default=0.0)


def _single(value: float) -> float:
    import numpy as np

    return float(np.float32(value))


def _seconds(value: Any) -> int:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        value = value.replace(tzinfo=value.tzinfo or UTC).timestamp()
    return int(value)


@dataclass
class Ledger:
    """What the lane on `online` had seen after each batch, as far as history (`archive`) reaches."""

    online: Checkpoint
    archive: Checkpoint
    _entries: dict[int, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole = self.archive.entry(self.archive.last_committed())
        if whole is None:
            raise store.HistoryError(
                f"there is no history lane's checkpoint in {self.archive.location}: run `tidemark stream history` first, "
                "or name it with --history-checkpoint"
            )
        self.archived = whole.end
        for entry in self.online.entries(self.online.last_committed()):
            if _reaches(whole, entry):
                self._entries.setdefault(entry.batch, entry)
        if not self._entries:
            raise store.HistoryError(
                f"history has not reached the first batch of the lane on {self.online.location}: run "
                "`tidemark stream history --until-caught-up`"
            )

    @property
    def first(self) -> Entry:
        """The oldest batch that can be compared."""
        return self._entries[min(self._entries)]

    @property
    def last(self) -> int:
        """The newest batch that can be compared."""
        return max(self._entries)

    def bounds(self, batch: int, source: Source) -> list[int] | None:
        """For each partition of a source's topic the first offset not seen after `batch`; None if not known."""
        entry = self._entries.get(batch)
        if entry is None:
            return None
        ends = entry.end.get(source.topic, {})
        return [ends.get(str(p), 0) for p in range(max(map(int, ends), default=-1) + 1)]

    def seen(self, vector: Vector, source: Source) -> list[int] | None:
        """As `bounds`, for a vector of either lane; None if history has not come so far."""
        if vector.place is None:
            return self.bounds(vector.batch, source)
        partition, offset = vector.place
        if offset >= self.archived.get(source.topic, {}).get(str(partition), 0):
            return None
        # An entity's events are in one partition.
        return [0] * partition + [offset + 1]


def _reaches(history: Entry, entry: Entry) -> bool:
    return all(
        history.end.get(topic, {}).get(partition, 0) >= end
        for topic, partitions in entry.end.items()
        for partition, end in partitions.items()
        if topic in history.end
    )


def logged(events: Events, view: View, ledger: Ledger, count: int) -> list[Vector]:
    """Up to `count` vectors of the feature log, chosen by a hash: the same ones each time."""
    log = events.spark.read.format("delta").load(f"{events.root.rstrip('/')}/feature_log")
    began = F.timestamp_millis(F.lit(ledger.first.time))
    mine = log.where(
        (F.col("view") == view.name)
        & F.col("batch").between(ledger.first.batch, ledger.last)
        # Batches of an earlier checkpoint had the same numbers.
        & (F.col("_arrived") >= began)
    )
    chosen = mine.orderBy(F.xxhash64("entity", "batch")).limit(count)
    rows = chosen.select(
        "entity", F.unix_millis("event_timestamp").alias("time"), "batch", "features"
    ).collect()
    return [Vector(json.loads(r.entity), r.time, r.batch, json.loads(r.features)) for r in rows]


def scored(events: Events, view: View, ledger: Ledger, count: int) -> list[Vector]:
    """Up to `count` vectors that the scoring lane logged since the ledger's first batch, chosen by a hash."""
    log = events.spark.read.format("delta").load(f"{events.root.rstrip('/')}/feature_log")
    began = F.timestamp_millis(F.lit(ledger.first.time))
    mine = log.where((F.col("view") == view.name) & (F.col("batch") == SCORED) & (F.col("_arrived") >= began))
    chosen = mine.orderBy(F.xxhash64("entity", "features")).limit(count)
    rows = chosen.select("entity", F.unix_millis("event_timestamp").alias("time"), "features").collect()
    found = []
    for row in rows:
        features = json.loads(row.features)
        partition, offset = features.pop(PLACE)
        found.append(Vector(json.loads(row.entity), row.time, SCORED, features, (partition, offset)))
    return found


Thinned = Callable[[DataFrame, Source], DataFrame]


def without_late(held: DataFrame, _: Source) -> DataFrame:
    """Events that were not behind their source's watermark when they came."""
    return held.where("NOT _late")


def without_copies(held: DataFrame, source: Source) -> DataFrame:
    """The first event of each id."""
    if not source.event_id:
        return held
    place = F.struct("_partition", "_offset")
    first = held.groupBy(source.event_id).agg(F.min(place).alias("_first"))
    kept = first.select("_first._partition", "_first._offset")
    return held.join(kept, ["_partition", "_offset"], "left_semi")


REASONS: dict[str, Thinned] = {"late": without_late, "duplicate": without_copies}
"""What is left out of history to see whether the served value appears."""


@dataclass(frozen=True)
class Parity:
    """Compares vectors of one view with history, in `tasks` tasks."""

    events: Events
    ledger: Ledger
    tasks: int

    def compare(self, view: View, vectors: Sequence[Vector]) -> dict[str, FeatureParity]:
        """By feature. Vectors whose batch history does not know are left out."""
        source = next(s for s in self.events.plan.sources if s.name == view.source)
        known = [(v, b) for v in vectors if (b := self.ledger.seen(v, source)) is not None]
        found = {feature.name: FeatureParity() for feature in view.features}
        if not known:
            return found
        computed = self._computed(self.events, view, known)
        sizes = {f.name: _size(vector.features.get(f.name) for vector, _ in known) for f in view.features}
        differing: list[tuple[int, Feature]] = []
        for number, (vector, _) in enumerate(known):
            for feature in view.features:
                if feature.name not in vector.features:
                    continue
                values = vector.features[feature.name], computed[number][feature.name]
                after = f"offset {vector.place}" if vector.place else f"batch {vector.batch}"
                about = f"{dict(vector.entity)} at {vector.time} after {after}"
                if not found[feature.name].add(feature, *values, about, sizes[feature.name]):
                    differing.append((number, feature))
        self._explain(view, known, differing, found)
        return found

    def _explain(
        self,
        view: View,
        known: Sequence[tuple[Vector, list[int]]],
        differing: Sequence[tuple[int, Feature]],
        found: Mapping[str, FeatureParity],
    ) -> None:
        left = list(differing)
        for reason, thinned in REASONS.items():
            if not left:
                return
            numbers = sorted({number for number, _ in left})[:EXPLAINED]
            values = self._computed(replace(self.events, thinned=thinned), view, [known[n] for n in numbers])
            again = dict(zip(numbers, (values[i] for i in range(len(numbers))), strict=True))
            still = []
            for number, feature in left:
                served = known[number][0].features[feature.name]
                if number in again and difference(feature, served, again[number][feature.name]) <= tolerance(
                    feature
                ):
                    found[feature.name].reasons[reason] += 1
                else:
                    still.append((number, feature))
            left = still
        for _, feature in left:
            found[feature.name].reasons["unexplained"] += 1

    def _computed(
        self, events: Events, view: View, known: Sequence[tuple[Vector, list[int]]]
    ) -> dict[int, dict[str, Any]]:
        rows = [
            (n, json.dumps(dict(v.entity)), v.time * 1000 + 999, AFTER_ALL, 0, bounds)
            for n, (v, bounds) in enumerate(known)
        ]
        schema = "_row bigint, entity string, time bigint, part int, offset bigint, bounds array<bigint>"
        names = [name for name, _ in view.join_keys]
        moments = events.spark.createDataFrame(rows, schema).withColumn(
            "entity", F.from_json("entity", "map<string, string>")
        )
        for name in names:
            moments = moments.withColumn(name, F.col("entity")[name])
        moments = moments.withColumn("key", entity_key(names)).drop("entity", *names)
        until = max(_day(v.time) for v, _ in known)
        answers = asof.features(events, view, moments, self.tasks, until=until)
        return {row["_row"]: row.asDict() for row in answers.collect()}


def _day(millis: int) -> date:
    return datetime.fromtimestamp(millis / 1000, UTC).date()


def total(features: Iterable[FeatureParity]) -> FeatureParity:
    """Counts added up."""
    whole = FeatureParity()
    for f in features:
        whole.compared += f.compared
        whole.equal += f.equal
        whole.mismatched += f.mismatched
        whole.missing += f.missing
        whole.largest = max(whole.largest, f.largest)
        whole.reasons += f.reasons
    return whole
