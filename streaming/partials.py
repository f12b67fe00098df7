"""Partial aggregates per (entity, base tile): one parse, one shuffle and one aggregate for all views.

Each admitted event becomes one row per view of its source (and one per distinct-counted column), with
the values of all views in shared physical columns: x0.. are doubles, y0.. bigints, z0.. strings.
Rows that no view uses travel as counters through the same aggregate: a null key and a negative
`item` say why. Quarantined messages travel with their raw bytes as the key and their offset as the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, TimestampNTZType, TimestampType

from streaming import parts
from streaming.chunks import FILTERED, NO_KEY, TILE
from streaming.plan import Plan, Slot, View

GROUP = ("view", "key", "tile", "part", "item", "hash")


@dataclass
class Physical:
    """The physical columns of one source: SQL text by column name, in the order they were asked for."""

    x: list[str] = field(default_factory=list)
    y: list[str] = field(default_factory=list)
    z: list[str] = field(default_factory=list)
    k: list[str] = field(default_factory=list)
    h: list[str] = field(default_factory=list)
    t: list[str] = field(default_factory=list)

    def column(self, family: str, sql: str) -> str:
        held: list[str] = getattr(self, family)
        if sql not in held:
            held.append(sql)
        return f"{family}{held.index(sql)}"


@dataclass(frozen=True)
class ViewColumns:
    """Where a view's values are: key and time columns, the physical column of each slot, distinct hashes."""

    index: int
    key: str
    time: str
    slots: tuple[tuple[Slot, str], ...]
    items: tuple[tuple[int, str], ...]


class Partials:
    """Compiles a plan's views into Spark expressions.

    `fields(view)` maps each stored field of a tile to the column of the result that carries it.
    """

    def __init__(self, plan: Plan, parsed: DataFrame):
        self.plan = plan
        self._types = parsed
        self.sources = [Physical() for _ in plan.sources]
        self.columns = [self._columns(i, view) for i, view in enumerate(plan.views)]
        self.aggregated = self._aggregated()
        self.ordered = any(s.part in ("first", "last") for v in plan.views for s in v.slots)

    def _type(self, sql: str) -> DataType:
        return self._types.select(F.expr(sql).alias("c")).schema[0].dataType

    def _columns(self, index: int, view: View) -> ViewColumns:
        number = next(i for i, s in enumerate(self.plan.sources) if s.name == view.source)
        physical = self.sources[number]
        columns = dict(view.columns)
        keys = [sql for _, sql in view.keys]
        if len(keys) == 1:
            key = f"CAST(CAST({keys[0]} AS STRING) AS BINARY)"
        else:
            present = " AND ".join(f"({sql}) IS NOT NULL" for sql in keys)
            parts = ", ".join(f"CAST({sql} AS STRING)" for sql in keys)
            key = f"CASE WHEN {present} THEN CAST(to_json(array({parts})) AS BINARY) END"
        slots, items = [], []
        for n, slot in enumerate(view.slots):
            if slot.part == "rows":
                slots.append((slot, ""))
            elif slot.part == "distinct":
                sql = columns[slot.column]
                items.append(
                    (n, physical.column("h", f"CASE WHEN ({sql}) IS NOT NULL THEN xxhash64({sql}) END"))
                )
            else:
                slots.append((slot, self._physical(physical, slot, columns[slot.column])))
        return ViewColumns(
            index,
            physical.column("k", key),
            physical.column("t", f"unix_micros({view.timestamp})"),
            tuple(slots),
            tuple(items),
        )

    def _physical(self, physical: Physical, slot: Slot, sql: str) -> str:
        kind = slot.kind
        if slot.part == "n" and kind == "str":
            return physical.column("y", f"CASE WHEN ({sql}) IS NOT NULL THEN 1L END")
        if slot.part in ("n", "sum", "m2") or kind == "f64":
            as_number = f"CAST({sql} AS INT)" if isinstance(self._type(sql), BooleanType) else sql
            if isinstance(self._type(sql), TimestampType | TimestampNTZType):
                return physical.column("y", self._integer(sql))
            return physical.column("x", f"CAST({as_number} AS DOUBLE)")
        if kind == "i64":
            return physical.column("y", self._integer(sql))
        return physical.column("z", f"CAST({sql} AS STRING)")

    def _integer(self, sql: str) -> str:
        type_ = self._type(sql)
        if isinstance(type_, TimestampType):
            return f"unix_micros({sql})"
        if isinstance(type_, TimestampNTZType):
            return f"unix_micros(CAST({sql} AS TIMESTAMP))"
        return f"CAST({sql} AS BIGINT)"

    def _width(self, family: str) -> int:
        return max((len(getattr(p, family)) for p in self.sources), default=0)

    def _names(self, *families: str) -> list[str]:
        return [f"{family}{n}" for family in families for n in range(self._width(family))]

    def _aggregated(self) -> dict[str, str]:
        """Result column -> SQL aggregate, over the physical columns."""
        result: dict[str, str] = {}
        for columns in self.columns:
            for slot, physical in columns.slots:
                if slot.part != "rows":
                    result.update(self._of_slot(slot, physical))
        return result

    @staticmethod
    def _of_slot(slot: Slot, physical: str) -> dict[str, str]:
        aggregates = parts.PARTS[slot.part].spark(physical, "ord")
        return {
            f"{physical}_{slot.part}{suffix.replace('.', '_')}": sql for suffix, sql in aggregates.items()
        }

    def fields(self, index: int) -> dict[str, str]:
        """Field of view `index` (`amount:sum`; `amount:last.ord` for a 128-bit order) -> result column."""
        fields: dict[str, str] = {}
        for slot, physical in self.columns[index].slots:
            if slot.part == "rows":
                fields[slot.name] = "rows"
            else:
                for suffix in parts.PARTS[slot.part].spark(physical, "ord"):
                    fields[slot.name + suffix] = f"{physical}_{slot.part}{suffix.replace('.', '_')}"
        return fields

    def project(self, admitted: DataFrame) -> DataFrame:
        """Admitted rows -> physical columns, so that what is shuffled is only what views use.

        `ok` has one bit a view (by its order within the source) that says whether its filters let
        the event through; `bad` counts values that were NaN or infinite and became null.
        """
        by_source = {name: self._cases(name) for name in self._names("x", "y", "z", "k", "h", "t")}
        raw = F.when(F.col("_code") > 0, F.col("_value")).alias("_raw")
        finite, bad = {}, F.lit(0)
        for name, column in by_source.items():
            finite[name] = column
        frame = admitted.select(
            "_source",
            "_partition",
            "_offset",
            "_code",
            "_event_id",
            raw,
            self._ok().alias("ok"),
            *[column.alias(name) for name, column in finite.items()],
        )
        for name in self._names("x"):
            infinite = F.isnan(name) | (F.abs(name) == float("inf"))
            bad = bad + F.when(infinite, 1).otherwise(0)
        replace = {
            name: F.when(~F.isnan(name) & (F.abs(name) != float("inf")), F.col(name))
            for name in self._names("x")
        }
        return frame.withColumn("bad", bad).withColumns(replace)

    def _cases(self, name: str):
        family, n = name[0], int(name[1:])
        null = {"x": "double", "y": "bigint", "z": "string", "k": "binary", "h": "bigint", "t": "bigint"}[
            family
        ]
        column = F.lit(None).cast(null)
        for i, physical in enumerate(self.sources):
            held = getattr(physical, family)
            if n < len(held):
                column = F.when((F.col("_source") == i) & (F.col("_code") == 0), F.expr(held[n])).otherwise(
                    column
                )
        return column

    def _ok(self):
        bits = F.lit(0)
        for i, source in enumerate(self.plan.sources):
            mine = F.lit(0)
            for bit, view in enumerate(self.plan.of_source(source.name)):
                passed = F.coalesce(F.expr(view.condition), F.lit(False)) if view.condition else F.lit(True)
                mine = mine + F.when(passed, 1 << bit).otherwise(0)
            bits = F.when((F.col("_source") == i) & (F.col("_code") == 0), mine).otherwise(bits)
        return bits

    def sql(self, watermarks: Sequence[int | None], partitions: int, *, combine: bool = False) -> str:
        """SQL from a projected frame `{batch}` to sorted partials, for `spark.sql(text, batch=frame)`.

        Columns: GROUP, `rows`, `newest` (ms), `offset`, `late`, `bad`, the slots' columns and `h`, a
        hash of the key; a view's entity is whole in one partition, its rows side by side.
        `watermarks` are the sources' event-time watermarks in ms, for counting late events. With
        `combine` events are aggregated before they are shuffled, and the partials shuffled once more.
        """
        lanes = self._lanes()
        # An array literal is no part of the generated code, so a new watermark compiles nothing anew.
        bounds = ", ".join(f"{-(2**62) if w is None else w * 1000}L" for w in watermarks)
        late = f"IF(t0 < element_at(array({bounds}), _source + 1), 1L, 0L) AS late"
        columns = ", ".join(
            f"{sql} AS {name}_{n}" for n, lane in enumerate(lanes) for name, sql in lane.items()
        )
        groups = ", ".join(
            "(" + ", ".join(f"{name}_{n}" for name in lane) + ")" for n, lane in enumerate(lanes)
        )
        values = "".join(f", CASE WHEN item = {TILE} THEN {v} END AS {v}" for v in self._names("x", "y", "z"))
        order = f", {parts.order_sql('time', '_partition', '_offset')} AS ord" if self.ordered else ""
        hint = f"/*+ REPARTITION({partitions}, view, key) */"
        expanded = f"""SELECT {"" if combine else hint} view, key, tile, _partition AS part, item, hash, time,
                _offset, late, bad{order}{values}
            FROM (SELECT *, {late}, {columns} FROM {{batch}})
            UNPIVOT INCLUDE NULLS ((view, key, tile, item, hash, time) FOR lane IN ({groups}))
            WHERE view IS NOT NULL"""
        aggregated = "".join(f", {sql} AS {name}" for name, sql in self.aggregated.items())
        group = ", ".join(GROUP)
        partials = f"""SELECT {group}, sum(IF(item < 0, 1L, 0L)) AS rows, max(time) DIV 1000 AS newest,
                max(_offset) AS offset, sum(IF(item < 0, late, 0L)) AS late, sum(IF(item < 0, bad, 0)) AS bad{aggregated}
            FROM ({expanded}) GROUP BY {group}"""
        if combine:
            partials = f"SELECT {hint} * FROM ({partials})"
        return f"SELECT *, xxhash64(key) AS h FROM ({partials}) SORT BY view, h"

    def _lanes(self) -> list[dict[str, str]]:
        """SQL of view, key, tile, item and hash for each row of the expansion."""
        outputs = [self._outputs(i, source.name) for i, source in enumerate(self.plan.sources)]
        nothing = {
            "view": "INT",
            "key": "BINARY",
            "tile": "BIGINT",
            "item": "INT",
            "hash": "BIGINT",
            "time": "BIGINT",
        }
        lanes = []
        for n in range(max(map(len, outputs))):
            lane = {}
            for name, type_ in nothing.items():
                cases = " ".join(f"WHEN {i} THEN {o[n][name]}" for i, o in enumerate(outputs) if n < len(o))
                sql = f"CASE _source {cases} END"
                if n == 0:
                    dead = {
                        "view": "-(_source + 1)",
                        "key": "_raw",
                        "tile": "_offset",
                        "item": "_code",
                        "hash": "0L",
                        "time": "NULL",
                    }
                    sql = f"CASE WHEN _code > 0 THEN {dead[name]} ELSE {sql} END"
                else:
                    sql = f"CASE WHEN _code = 0 THEN {sql} END"
                lane[name] = f"CAST({sql} AS {type_})"
            lanes.append(lane)
        return lanes

    def _outputs(self, number: int, source: str) -> list[dict[str, str]]:
        outputs = []
        for bit, view in enumerate(self.plan.of_source(source)):
            columns = self.columns[self.plan.views.index(view)]
            passed, keyed = (
                f"(ok & {1 << bit}) > 0",
                f"{columns.key} IS NOT NULL AND {columns.time} IS NOT NULL",
            )
            base = view.base * 1000
            tile = f"{columns.time} - pmod({columns.time}, {base}L)"
            used = f"{passed} AND {keyed}"
            outputs.append(
                {
                    "view": str(columns.index),
                    "key": f"CASE WHEN {used} THEN {columns.key} END",
                    "tile": f"CASE WHEN {used} THEN ({tile}) DIV 1000 ELSE 0L END",
                    "item": f"CASE WHEN NOT ({passed}) THEN {FILTERED} WHEN NOT ({keyed}) THEN {NO_KEY} ELSE {TILE} END",
                    "hash": "0L",
                    "time": columns.time,
                }
            )
            outputs += [
                {
                    "view": f"CASE WHEN {used} AND {hashed} IS NOT NULL THEN {columns.index} END",
                    "key": columns.key,
                    "tile": f"({tile}) DIV 1000",
                    "item": str(item),
                    "hash": hashed,
                    "time": columns.time,
                }
                for item, hashed in columns.items
            ]
        return outputs
