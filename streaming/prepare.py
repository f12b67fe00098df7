"""Raw messages -> admitted, prepared events within a millisecond: Spark's own expressions, without a Spark job.

`streaming.source.admit` and `streaming.projection` say how a message is parsed, admitted and projected. Here
Spark compiles the very same expressions once, and its JVM runs them over a few messages at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from streaming import source as admission
from streaming.columns import numbers, values
from streaming.events import FILTERED, NO_KEY, USED, Chunk, Reader
from streaming.expressions import RAW, Expressions, Message
from streaming.packets import LANE
from streaming.parts import U64, Values
from streaming.plan import Plan, View
from streaming.projection import VALUES, Projection


@dataclass(frozen=True)
class Prepared:
    """What became of the messages of one call, one row each, in their order.

    `source` is the index of a message's source in the plan, -1 for a topic that the plan does not know.
    `code` is 0 for an admitted event, else a reason (`streaming.source.reason`). `arrived` and `time` are
    Kafka's timestamp and the event's, in ms; `time` means nothing where `code` is not 0. `identity` (uint64,
    [messages, 2]) is 128 bits of the event id's hash where `identified`: such events are deduplicated.
    """

    plan: Plan
    source: np.ndarray
    code: np.ndarray
    part: np.ndarray
    offset: np.ndarray
    arrived: np.ndarray
    time: np.ndarray
    identified: np.ndarray
    identity: np.ndarray
    _batch: pa.RecordBatch
    _readers: Sequence[Reader]
    _lanes: Sequence[int]
    _known: dict[str, Values] = field(default_factory=dict)
    _listed: dict[int, list[bytes]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.code)

    @cached_property
    def event_ids(self) -> list[str | None]:
        """The event id of each message that is deduplicated, None for the others."""
        return self._batch.column("event_id").to_pylist()

    def reason(self, row: int) -> str | None:
        """Why a message was not admitted, in words; None if it was."""
        code = int(self.code[row])
        return admission.reason(self.plan.sources[self.source[row]], code) if code else None

    def fields(self, source: int, rows: np.ndarray) -> dict[str, pa.Array]:
        """The fields that were asked for of `source`, of the messages `rows`; all null where `code` is not 0."""
        column = self._batch.column(f"fields_{source}")
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            column = column.slice(rows[0], len(rows))
        else:
            column = column.take(pa.array(rows))
        return {field.name: column.field(i) for i, field in enumerate(column.type)}

    def chunk(self, index: int, rows: np.ndarray) -> tuple[np.ndarray, Chunk]:
        """What the view `plan.views[index]` uses of the messages `rows`: their places, and the chunk.

        `rows` (ascending) are messages of the view's source that were admitted. In the chunk every event is an
        entity of its own: it has a key, a tile and a time for each place, in that order. What has no key or was
        filtered is counted, as in the online lane; what is late is not.
        """
        lane, reader = self._lanes[index], self._readers[index]
        item = self._column(f"item_{lane}").data[rows]
        used = item == USED
        no_key, filtered = (
            (0, 0) if used.all() else (int((item == code).sum()) for code in (NO_KEY, FILTERED))
        )
        places = rows[used] if no_key or filtered else rows
        held = {name: self._column(name).take(places) for name in reader.physical}
        micros, part, offset = (
            self._column(f"time_{lane}").data[places],
            self.part[places],
            self.offset[places],
        )
        tiles, bad = reader.tiles(np.arange(len(places)), micros, part, offset, held)
        keys = self._keys(lane)
        mine = [keys[place] for place in places.tolist()]
        return places, Chunk(mine, tiles, micros // 1000, part, offset, 0, bad, no_key, filtered)

    def _column(self, name: str) -> Values:
        if name not in self._known:
            given = values(self._batch.column(name))
            checked = given.finite()
            # What is not finite is left for the views that use it to count.
            self._known[name] = checked if checked.valid is given.valid else given
        return self._known[name]

    def _keys(self, lane: int) -> list[bytes]:
        if lane not in self._listed:
            self._listed[lane] = self._batch.column(f"key_{lane}").to_pylist()
        return self._listed[lane]


class Preparer:
    """Prepares messages as the online lane would; safe to share between threads, which take turns.

    `fields` names, by source, further fields of its events that are wanted as they were parsed. `spark` is
    any session of this machine, with the settings of `streaming.session`; `local[1]` will do.
    """

    def __init__(
        self, plan: Plan, spark: SparkSession, fields: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.plan = plan
        raw = spark.createDataFrame(spark.sparkContext.emptyRDD(), RAW)
        self.projection = Projection(plan, admission.admit(raw, plan.sources))
        self._readers = tuple(
            Reader(view, columns.values, columns.hashes)
            for view, columns in zip(plan.views, self.projection.views, strict=True)
        )
        self._lanes = tuple(list(plan.of_source(view.source)).index(view) for view in plan.views)
        frame = self.frame(raw, fields or {})
        self._schema = to_arrow_schema(frame.schema, timezone="UTC")
        self._expressions = Expressions(spark, raw, frame)
        self._lock = threading.Lock()

    def frame(self, raw: DataFrame, fields: Mapping[str, Sequence[str]]) -> DataFrame:
        """The expressions, over Kafka rows as RAW has them."""
        times = [f"unix_micros(source_{i}.`{s.timestamp_field}`)" for i, s in enumerate(self.plan.sources)]
        whens = " ".join(f"WHEN {i} THEN {sql}" for i, sql in enumerate(times))
        beside = {
            "event_id": "CASE WHEN _code = 0 THEN _event_id END",
            "arrived": "unix_micros(_arrived)",
            "event_time": f"CASE _source {whens} END",
        }
        for i, source in enumerate(self.plan.sources):
            names = fields.get(source.name) or [source.timestamp_field]
            pairs = ", ".join(f"'{name}', source_{i}.`{name}`" for name in names)
            beside[f"fields_{i}"] = f"CASE WHEN _code = 0 THEN named_struct({pairs}) END"
        events = self.projection.project(admission.admit(raw, self.plan.sources), beside)
        laned = self.projection.laned(events)
        own = [name for name in laned.columns if name[0] in VALUES and name[1:].isdigit()]
        lanes = [name for name in laned.columns if name.rpartition("_")[0] in LANE[1:]]
        known = ["_source", "_partition", "_offset", "_code", "_origin", "_id0", "_id1", *beside]
        return laned.select(*known, *lanes, *own)

    def prepare(self, messages: Sequence[Message]) -> Prepared:
        """Parse, admit and project `messages`.

        Raises ServiceError when there are more than ROWS, and Py4JError when the JVM has ended.
        """
        with self._lock:
            batch = self._expressions(messages, self._schema)
        names = ("_partition", "_offset", "arrived", "_id0", "_id1", "_origin", "event_time")
        part, offset, arrived, first, second, origin, time = (numbers(batch.column(name)) for name in names)
        return Prepared(
            self.plan,
            numbers(batch.column("_source"), -1),
            numbers(batch.column("_code")),
            part,
            offset,
            arrived // 1000,
            time // 1000,
            origin >= 0,
            np.stack([first.view(U64), second.view(U64)], axis=1),
            batch,
            self._readers,
            self._lanes,
        )

    def view(self, name: str) -> tuple[int, View]:
        """Place among the plan's views, and the view, of that name."""
        names = [view.name for view in self.plan.views]
        return names.index(name), self.plan.views[names.index(name)]

    def close(self) -> None:
        """Let go of the files and of the JVM's memory."""
        with self._lock:
            self._expressions.close()
