"""Events and moments as the rows that Spark hands over, and what the oracle says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from oracle import feature_value
from small_lane import COLUMNS, Event, hash64, is_value, same

from streaming.history.blocks import EPOCH, TIME_BITS, Answers, Blocks
from streaming.history.rows import AFTER_ALL, BEFORE_ALL, Reader
from streaming.plan import View
from streaming.projection import ViewColumns

Moment = tuple[int, int, int, int]
"""(entity, time us, part, offset): see `streaming.history.rows`."""

TYPES = {"f64": pa.float64(), "i64": pa.int64(), "str": pa.string()}
PHYSICAL = ViewColumns(
    "k0", "t0", {name: f"v_{name}" for name in COLUMNS}, {name: f"h_{name}" for name in COLUMNS}
)


def rows(
    events: Sequence[tuple[int, Event]],
    moments: Sequence[Moment],
    bounds: Sequence[Sequence[int]] | None = None,
    buckets: int = 2,
) -> pa.RecordBatch:
    """One batch, sorted as Spark sorts it; event times are microseconds, texts UTF-8."""
    asking = [(entity, (time, part, offset, {})) for entity, time, part, offset in moments]
    both = [*events, *asking]
    asks = [None] * len(events) + list(range(len(moments)))
    limits = [None] * len(events) + (list(bounds) if bounds is not None else [None] * len(moments))
    sort = [((e % buckets) << TIME_BITS) + event[0] // 1000 + EPOCH for e, event in both]
    order = sorted(range(len(both)), key=lambda i: (sort[i], -i))
    columns: dict[str, Any] = {
        "sort": pa.array([sort[i] for i in order], pa.int64()),
        "key": pa.array([b"%d" % both[i][0] for i in order], pa.binary()),
        "time": pa.array([both[i][1][0] for i in order], pa.int64()),
        "part": pa.array([both[i][1][1] for i in order], pa.int32()),
        "offset": pa.array([both[i][1][2] for i in order], pa.int64()),
        "ask": pa.array([asks[i] for i in order], pa.int64()),
        "bounds": pa.array([limits[i] for i in order], pa.list_(pa.int64())),
    }
    for name, kind in COLUMNS.items():
        held = [both[i][1][3].get(name) for i in order]
        columns[f"v_{name}"] = pa.array(
            [v.decode() if isinstance(v, bytes) else v for v in held], TYPES[kind], from_pandas=False
        )
        hashes = [hash64(v) - (1 << 64) * (hash64(v) >> 63) if is_value(v) else None for v in held]
        columns[f"h_{name}"] = pa.array(hashes, pa.int64())
    return pa.RecordBatch.from_pydict(columns)


def answers(view: View, batch: pa.RecordBatch, size: int = 1 << 18, **options: Any) -> list[Answers]:
    """All blocks' answers; the batch arrives in pieces."""
    reader = Reader(view, PHYSICAL, options.pop("every_event", False))
    pieces = [batch.slice(a, 7) for a in range(0, batch.num_rows, 7)]
    return list(Blocks(reader, size, **options)(iter(pieces)))


def by_moment(view: View, found: Sequence[Answers], moments: int) -> list[dict[str, Any] | None]:
    """Features of each moment by name, None for null; None where the entity was never seen."""
    result: list[dict[str, Any] | None] = [{} for _ in range(moments)]
    for answer in found:
        for i, number in enumerate(answer.read.number.tolist()):
            values, valid = answer.features.values, answer.features.valid
            held = {n: values[n][i].item() if hasattr(values[n][i], "item") else values[n][i] for n in values}
            result[number] = (
                {n: v if valid[n][i] else None for n, v in held.items()} if answer.seen[i] else None
            )
    return result


def seen(events: Sequence[tuple[int, Event]], moment: Moment) -> list[Event]:
    """The events that a moment sees, by the definition of `part` and `offset` of a moment."""
    entity, time, part, offset = moment
    mine = [event for e, event in events if e == entity]
    if part == AFTER_ALL:
        return [event for event in mine if event[0] <= time]
    if part == BEFORE_ALL:
        return [event for event in mine if event[0] < time]
    return [event for event in mine if event[:3] < (time, part, offset)]


def check(view: View, events: list[Event], time: int, got: dict[str, Any] | None) -> None:
    """`got` is what the oracle computes of `events`, the ones that are seen at `time` (us)."""
    assert (got is not None) == bool(events)
    for feature in view.features if got else ():
        length, slide = feature.window.length * 1000, feature.window.slide * 1000
        try:
            want = feature_value(events, feature.function, feature.column, length, slide, time)
        except OverflowError:
            want = None  # no infinity leaves the engine
        assert same(got[feature.name], want, feature, events), (feature, time, got[feature.name], want)
