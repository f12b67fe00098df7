"""Admitted events -> what each view needs of them, compiled to Spark SQL.

Each event becomes one row per view of its source (`streaming.packets`), with the values of all views in
shared physical columns: x0.. are doubles, y0.. bigints, z0.. strings and h0.. hashes to be counted. One
parse and one shuffle serve every view. An event that a view does not use still becomes a row, without a key and with
a negative `item` that says why; a quarantined message becomes a row with its raw bytes as the key.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, DoubleType, FloatType, TimestampNTZType, TimestampType

from streaming.events import FILTERED, NO_KEY, USED
from streaming.packets import LANE, OUTPUT, Split
from streaming.plan import Plan, View
from streaming.shared import Shared

TYPES = {"x": "double", "y": "bigint", "z": "string", "k": "binary", "h": "bigint", "t": "bigint"}
FAMILIES = {"f64": "x", "i64": "y", "str": "z"}
VALUES = ("x", "y", "z", "h")
_LANE_TYPES = dict(zip(LANE, ("INT", "BINARY", "INT", "BIGINT"), strict=True))


@dataclass
class Physical:
    """The physical columns of one source: SQL text by family, in the order they were asked for."""

    held: dict[str, list[str]] = field(default_factory=lambda: {family: [] for family in TYPES})

    def column(self, family: str, sql: str) -> str:
        """Name of the physical column that carries `sql`."""
        texts = self.held[family]
        if sql not in texts:
            texts.append(sql)
        return f"{family}{texts.index(sql)}"


@dataclass(frozen=True)
class ViewColumns:
    """Where a view's columns are: `values` and `hashes` map a column's name to a physical column."""

    key: str
    time: str
    values: dict[str, str]
    hashes: dict[str, str]


class Projection:
    """Compiles a plan's views; `parsed` is a frame of `streaming.source.admit`, for its types alone."""

    def __init__(self, plan: Plan, parsed: DataFrame) -> None:
        self.plan = plan
        self._parsed = parsed
        self._sources = [Physical() for _ in plan.sources]
        self.views = tuple(self._view(view) for view in plan.views)

    def _view(self, view: View) -> ViewColumns:
        physical = self._sources[[s.name for s in self.plan.sources].index(view.source)]
        columns = dict(view.columns)
        kinds = {s.column: s.kind for s in view.slots if s.column and s.part != "distinct"}
        counted = {s.column: columns[s.column] for s in view.slots if s.part == "distinct"}
        hashes = {
            name: physical.column("h", f"CASE WHEN {self._present(sql)} THEN xxhash64({sql}) END")
            for name, sql in counted.items()
        }
        values = {
            name: physical.column(FAMILIES[kind], self._typed(columns[name], kind))
            for name, kind in kinds.items()
        }
        return ViewColumns(
            physical.column("k", _key([sql for _, sql in view.keys])),
            physical.column("t", f"unix_micros({view.timestamp})"),
            values,
            hashes,
        )

    def _type(self, sql: str) -> DataType:
        return self._parsed.select(F.expr(sql).alias("c")).schema[0].dataType

    def _present(self, sql: str) -> str:
        """SQL of whether a value counts: it is not null, NaN or infinite."""
        if isinstance(self._type(sql), FloatType | DoubleType):
            return f"abs({sql}) < double('infinity')"
        return f"({sql}) IS NOT NULL"

    def _typed(self, sql: str, kind: str) -> str:
        if kind == "str":
            return f"CAST({sql} AS STRING)"
        type_ = self._type(sql)
        if isinstance(type_, TimestampType | TimestampNTZType):
            return f"unix_micros(CAST({sql} AS TIMESTAMP))"
        number = f"CAST({sql} AS INT)" if isinstance(type_, BooleanType) else sql
        return f"CAST({number} AS {'DOUBLE' if kind == 'f64' else 'BIGINT'})"

    def _names(self, *families: str) -> list[str]:
        widths = {f: max((len(p.held[f]) for p in self._sources), default=0) for f in families}
        return [f"{family}{n}" for family in families for n in range(widths[family])]

    def project(self, admitted: DataFrame, beside: Mapping[str, str] | None = None) -> DataFrame:
        """Admitted rows -> physical columns, so that only what views use is shuffled.

        `beside` are further columns, SQL over the admitted rows by name.

        `ok` has a bit for each view, in its order within the source: whether its filters let the event
        through. `_raw` has the bytes of quarantined messages alone. `_origin`, `_id0` and `_id1` are an
        event's identity: its source and 128 bits of its id's hash, or its place where it has no id. What
        is projected from a quarantined message is not used.
        """
        sources = self.plan.sources
        shared = self._shared()
        physical = [self._cases(name, shared).alias(name) for name in self._names(*TYPES)]
        # A number for the source that stays when other sources come and go, as `_source` does not.
        origin = _case([f"{zlib.crc32(s.name.encode())}L" for s in sources])
        identified = "_code = 0 AND _event_id IS NOT NULL"
        return admitted.select(
            "_source",
            "_partition",
            "_offset",
            "_code",
            "_event_id",
            "_value",
            self._ok().alias("ok"),
            *physical,
            *[
                F.expr(f"CASE WHEN _source = {i} THEN {sql} END").alias(name)
                for i, found in enumerate(shared)
                for name, sql in found.held.items()
            ],
            *[F.expr(sql).alias(name) for name, sql in (beside or {}).items()],
        ).selectExpr(
            "_source",
            "_partition",
            "_offset",
            "_code",
            f"CASE WHEN {identified} THEN {origin} ELSE -1L - {origin} END AS _origin",
            f"CASE WHEN {identified} THEN xxhash64(_event_id, {origin}) ELSE CAST(_partition AS BIGINT) END AS _id0",
            f"CASE WHEN {identified} THEN xxhash64('id', _event_id, {origin}) ELSE _offset END AS _id1",
            "CASE WHEN _code > 0 THEN _value END AS _raw",
            "ok",
            *[f"{self._rest(name, shared)} AS {name}" for name in self._names(*TYPES)],
            *(beside or ()),
        )

    def laned(self, events: DataFrame) -> DataFrame:
        """Projected events with view, key, item and time of their n-th row as `view_<n>` and so on."""
        return events.selectExpr("*", *self._numbered(self._lanes()))

    def _shared(self) -> list[Shared]:
        """By source, what its physical columns have in common."""
        return [
            Shared.of([sql for texts in held.held.values() for sql in texts], f"_shared_{i}_", f"source_{i}")
            for i, held in enumerate(self._sources)
        ]

    def _cases(self, name: str, shared: Sequence[Shared]) -> Column:
        """A physical column, null where it consists of what is shared; see `_rest`."""
        texts = [
            "NULL" if text in found.rest else text
            for text, found in zip(self._texts(name), shared, strict=True)
        ]
        return F.expr(f"CAST({_case(texts)} AS {TYPES[name[0]]})")

    def _rest(self, name: str, shared: Sequence[Shared]) -> str:
        """A physical column where what is shared has been evaluated."""
        texts = [found.rest.get(text) for text, found in zip(self._texts(name), shared, strict=True)]
        cases = [f"WHEN _source = {i} THEN {text}" for i, text in enumerate(texts) if text]
        return f"CAST(CASE {' '.join(cases)} ELSE {name} END AS {TYPES[name[0]]})" if cases else name

    def _texts(self, name: str) -> list[str]:
        """A physical column's SQL for each source."""
        family, n = name[0], int(name[1:])
        held = [physical.held[family] for physical in self._sources]
        return [texts[n] if n < len(texts) else "NULL" for texts in held]

    def _ok(self) -> Column:
        bits = []
        for source in self.plan.sources:
            conditions = [view.condition for view in self.plan.of_source(source.name)]
            always = sum(1 << bit for bit, condition in enumerate(conditions) if not condition)
            filtered = [
                f"CASE WHEN {condition} THEN {1 << bit} ELSE 0 END"
                for bit, condition in enumerate(conditions)
                if condition
            ]
            bits.append(" + ".join([str(always), *filtered]))
        return F.expr(_case(bits))

    def rows(self, events: DataFrame, partitions: int, *, identities: bool = False) -> DataFrame:
        """Projected events -> packets of rows as `streaming.events` reads them, all of an entity's in one partition.

        `h` is a hash of the entity's key. With `identities`, as many partitions again come before those:
        their rows are the events that have an id, for `streaming.duplicates`.
        """
        lanes = max(len(self.plan.of_source(source.name)) for source in self.plan.sources)
        values = tuple(self._names(*VALUES))
        chosen = ["_partition AS part", "_offset AS offset"]
        if identities:
            chosen += ["_source AS source", "_origin AS origin", "_id0 AS id0", "_id1 AS id1"]
        for n in range(lanes):
            chosen += [f"{name}_{n}" for name in LANE]
            hashed = f"xxhash64(coalesce(key_{n}, CAST(_offset AS BINARY)))"
            chosen.append(f"CASE WHEN view_{n} IS NOT NULL THEN {hashed} END AS h_{n}")
        split = Split(lanes, values, partitions, identities)
        packets = self.laned(events).selectExpr(*chosen, *values).mapInArrow(split, OUTPUT)
        return packets.repartitionById(partitions * (1 + identities), F.col("target"))

    @staticmethod
    def _numbered(lanes: Sequence[Mapping[str, str]]) -> list[str]:
        return [
            f"CAST({sql} AS {_LANE_TYPES[name]}) AS {name}_{n}"
            for n, lane in enumerate(lanes)
            for name, sql in lane.items()
        ]

    def _lanes(self) -> list[dict[str, str]]:
        """SQL of view, key, item and time for the first, second, ... row of an event."""
        outputs = [self._outputs(source.name) for source in self.plan.sources]
        dead = {"view": "-(_source + 1)", "key": "_raw", "item": "_code", "time": "NULL"}
        lanes = []
        for n in range(max(map(len, outputs))):
            lane = {}
            for name in LANE:
                of_source = _case([o[n][name] if n < len(o) else "NULL" for o in outputs])
                quarantined = dead[name] if n == 0 else "NULL"
                lane[name] = f"CASE WHEN _code > 0 THEN {quarantined} ELSE {of_source} END"
            lanes.append(lane)
        return lanes

    def _outputs(self, source: str) -> list[dict[str, str]]:
        outputs = []
        for bit, view in enumerate(self.plan.of_source(source)):
            index = self.plan.views.index(view)
            columns = self.views[index]
            passed, keyed = (
                f"(ok & {1 << bit}) > 0",
                f"{columns.key} IS NOT NULL AND {columns.time} IS NOT NULL",
            )
            outputs.append(
                {
                    "view": str(index),
                    "key": f"CASE WHEN {passed} AND {keyed} THEN {columns.key} END",
                    "item": f"CASE WHEN NOT ({passed}) THEN {FILTERED} WHEN NOT ({keyed}) THEN {NO_KEY} ELSE {USED} END",
                    "time": columns.time,
                }
            )
        return outputs


def _case(values: Sequence[str]) -> str:
    """SQL of the value for an event's source, from one for each source."""
    if len(set(values)) == 1:
        return f"({values[0]})"
    cases = " ".join(f"WHEN {i} THEN {value}" for i, value in enumerate(values) if value != "NULL")
    return f"(CASE _source {cases} END)"


def _key(keys: list[str]) -> str:
    """SQL of the entity key as bytes: text, or a JSON array of texts where there are several keys."""
    if len(keys) == 1:
        return f"CAST(CAST({keys[0]} AS STRING) AS BINARY)"
    present = " AND ".join(f"({sql}) IS NOT NULL" for sql in keys)
    texts = ", ".join(f"CAST({sql} AS STRING)" for sql in keys)
    return f"CASE WHEN {present} THEN CAST(to_json(array({texts})) AS BINARY) END"
