"""What is computed, once it has been checked: immutable values shared by every lane and reader.

Times are integer milliseconds since the epoch, durations integer milliseconds. A plan is a plain
value: it pickles to executors and compares by content.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

Kind = Literal["f64", "i64", "str"]
"""How a value is held in a tile: float64, int64 (integers, booleans, timestamps in microseconds) or text."""

PartName = Literal["rows", "n", "sum", "m2", "min", "max", "first", "last", "distinct"]


@dataclass(frozen=True)
class Slot:
    """One mergeable intermediate of a tile, such as the sum of `amount`.

    `part` names the algebra in `streaming.aggregates`; `column` is empty for `rows` alone;
    `kind` is the kind of the column's values (meaningful for min, max, first and last).
    """

    part: PartName
    column: str
    kind: Kind

    @property
    def name(self) -> str:
        return f"{self.column}:{self.part}"


@dataclass(frozen=True)
class Window:
    """Length and slide in milliseconds; the length is a multiple of the slide."""

    length: int
    slide: int

    def start(self, t: int) -> int:
        """First millisecond that the window ending in the slide of `t` covers."""
        return (t // self.slide + 1) * self.slide - self.length


@dataclass(frozen=True)
class Feature:
    """One output column: `function` over `column` in `window`, served as Feast type `dtype`.

    `dtype` is the name of a Feast ValueType: INT32, INT64, FLOAT, DOUBLE, STRING, BOOL or
    UNIX_TIMESTAMP. `column` is empty for a count of events.
    """

    name: str
    function: str
    column: str
    window: Window
    dtype: str


@dataclass(frozen=True)
class View:
    """One Feast stream view, ready to be computed.

    `stored_name` is the name Feast's online store uses (it may carry a version suffix).
    `join_keys` are (name, Feast ValueType name), sorted by name. `keys` and `columns` map each
    join key and aggregated column to Spark SQL over the source's struct; `condition` is the SQL
    of the udf's filters, or empty. `slots` are the intermediates of a tile in storage order.
    `expiry` is how long (ms) after a write Redis keeps an entity's hash; 0 is for good.
    """

    name: str
    stored_name: str
    project: str
    source: str
    join_keys: tuple[tuple[str, str], ...]
    features: tuple[Feature, ...]
    slots: tuple[Slot, ...]
    keys: tuple[tuple[str, str], ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    timestamp: str = ""
    condition: str = ""
    distinct_k: int = 128
    emit_updates: bool = True
    expiry: int = 0

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Distinct windows, shortest first."""
        return tuple(sorted({f.window for f in self.features}, key=lambda w: (w.length, w.slide)))

    @cached_property
    def base(self) -> int:
        """Width of the finest tile: the greatest common divisor of the slides."""
        return math.gcd(*(w.slide for w in self.windows))

    @cached_property
    def schema_id(self) -> int:
        """Number (32 bits) of the tile layout; rings name it so that older layouts stay readable."""
        text = f"{self.distinct_k};" + ";".join(f"{s.name}:{s.kind}" for s in self.slots)
        return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "little")


@dataclass(frozen=True)
class Source:
    """A Kafka topic and the contract of its messages.

    `schema` is Spark's JSON form of the struct to parse; `required` names columns that must not be
    null. `event_id` is empty when the source names none, and then nothing is deduplicated.
    """

    name: str
    topic: str
    bootstrap_servers: str
    format: Literal["json", "avro"]
    schema: str
    timestamp_field: str
    event_id: str = ""
    deduplicate: bool = True
    watermark_delay: int = 120_000
    max_future_skew: int = 5_000
    required: tuple[str, ...] = ()
    avro_schema: str = ""


@dataclass(frozen=True)
class Plan:
    """Every stream view of a Feast repo that the engine computes, with their sources."""

    project: str
    sources: tuple[Source, ...]
    views: tuple[View, ...]
    write_features: bool = False
    redis: str = "localhost:6379"
    redis_cluster: bool = False
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def at(self, bootstrap_servers: str) -> Plan:
        """The same plan, with every topic on these brokers."""
        moved = tuple(replace(source, bootstrap_servers=bootstrap_servers) for source in self.sources)
        return replace(self, sources=moved)

    def of_source(self, source: str) -> tuple[View, ...]:
        return tuple(v for v in self.views if v.source == source)
