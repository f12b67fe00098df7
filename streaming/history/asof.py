"""Features of one view at any moments, by Spark: labels and events to the same task, moments answered there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streaming.history import cells
from streaming.history.blocks import ROWS, Blocks
from streaming.history.events import Events, shared_out
from streaming.history.rows import Reader
from streaming.plan import View


@dataclass(frozen=True)
class Answer:
    """The function for `mapInArrow`: `_row` and the features, null where the entity was never seen."""

    blocks: Blocks

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        view = self.blocks.reader.view
        for answers in self.blocks(batches):
            found = answers.features
            columns = [
                cells.column(f, found.values[f.name], found.valid[f.name] & answers.seen)
                for f in view.features
            ]
            names = ["_row", *[f.name for f in view.features]]
            yield pa.RecordBatch.from_arrays([pa.array(answers.read.number), *columns], names)


def features(
    events: Events, view: View, moments: DataFrame, tasks: int, *, until: date | None = None, rows: int = ROWS
) -> DataFrame:
    """`_row` and the view's features, a row for each of `moments`, in any order.

    `moments` has `_row` (bigint), `key` (binary, see `events.entity_key`), `time` (us), `part` and `offset`, which say what
    a moment sees (`streaming.history.rows`). With a column `bounds` (array of bigint: for each partition of the
    source's topic the first offset that was not yet processed) a moment sees what a lane had seen then. `until` is the
    last date of any moment. A view that has no event for an entity yet gives nulls.
    """
    as_processed = "bounds" in moments.columns
    history = events.of_view(view, until=until)
    columns = events.projection.views[events.plan.views.index(view)]
    history = history.withColumn("ask", F.lit(None).cast("bigint"))
    asking = moments.withColumnRenamed("_row", "ask").where(F.col("key").isNotNull())
    if as_processed:
        history = history.withColumn("bounds", F.lit(None).cast("array<bigint>"))
    together = shared_out(history.unionByName(asking, allowMissingColumns=True), tasks)
    blocks = Blocks(Reader(view, columns), rows, as_processed)
    schema = ", ".join(["_row bigint", *[f"`{f.name}` {cells.SPARK[f.dtype]}" for f in view.features]])
    return together.mapInArrow(Answer(blocks), schema)
