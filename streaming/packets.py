"""Rows of many events as one packet: what a shuffle costs, it costs by the packet instead of by the row.

A row is an event for one view (`streaming.events`). The rows of a batch of events that go to the same partition
travel as one Arrow stream.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming.columns import numbers

OUTPUT = "target int, packet bigint, number int, pieces int, data binary"
PACKETS = pa.schema(
    [
        ("target", pa.int32()),
        ("packet", pa.int64()),
        ("number", pa.int32()),
        ("pieces", pa.int32()),
        ("data", pa.binary()),
    ]
)
PIECE = 512 << 10
"""Most bytes of a row that is shuffled: what a task is handed at once is bounded by its rows (`session.bounded_by_rows`)."""
LANE = ("view", "key", "item", "time")
"""What an event has for each of its rows."""
SIZE = 16 << 20
"""Most bytes of the events whose rows become one packet for each partition."""


@dataclass(frozen=True)
class Split:
    """The function for `mapInArrow` over the events of `Projection.rows`; yields packets, and the partition of each.

    An event has a row for each of its `lanes`; the row's hash says which of the `partitions` gets it. With
    `identities`, as many partitions again come before those, for the rows of `streaming.duplicates`. `values`
    are the columns that all rows of an event share.
    """

    lanes: int
    values: tuple[str, ...]
    partitions: int
    identities: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in (piece for whole in _gathered(batches) for piece in _cut(whole)):
            shares = self._shared(self._rows(batch, lane) for lane in range(self.lanes))
            if self.identities:
                shares = [*self._shared([_identities(batch)]), *shares]
            yield _packed({target: held for target, held in enumerate(shares) if held})

    def _rows(self, batch: pa.RecordBatch, lane: int) -> pa.RecordBatch:
        """The events' rows for a lane, without those that have none."""
        columns = {name: batch.column(f"{name}_{lane}") for name in (*LANE, "h")}
        columns |= {name: batch.column(name) for name in ("part", "offset", *self.values)}
        rows = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        return rows.filter(columns["view"].is_valid()) if columns["view"].null_count else rows

    def _shared(self, lanes: Iterable[pa.RecordBatch]) -> list[list[pa.RecordBatch]]:
        """What each partition gets of the rows of several lanes."""
        shares: list[list[pa.RecordBatch]] = [[] for _ in range(self.partitions)]
        for rows in lanes:
            owner = (numbers(rows.column("h")) % self.partitions).astype(np.uint16)
            # A stable sort of 16-bit numbers counts, rather than compares.
            rows = rows.take(pa.array(np.argsort(owner, kind="stable")))
            ends = np.cumsum(np.bincount(owner, minlength=self.partitions)).tolist()
            for share, start, end in zip(shares, [0, *ends], ends, strict=False):
                if end > start:
                    share.append(rows.slice(start, end - start))
        return shares


def _identities(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A row for each event that has an id: `item` is its source's index, `h` and `time` are its id's hash."""
    names = {"item": "source", "part": "part", "offset": "offset", "h": "id0", "time": "id1"}
    rows = pa.RecordBatch.from_arrays([batch.column(name) for name in names.values()], list(names))
    identified = numbers(batch.column("origin")) >= 0
    return rows if identified.all() else rows.filter(pa.array(identified))


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches joined to about SIZE: the JVM sends few events at a time, which may be as large as Kafka lets them."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= SIZE:
            yield pa.concat_batches(held)
            held, size = [], 0
    if held:
        yield pa.concat_batches(held)


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of at most SIZE, or of one event."""
    if batch.nbytes <= SIZE or batch.num_rows < 2:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _cut(batch.slice(0, half))
    yield from _cut(batch.slice(half))


def _packed(shares: Mapping[int, list[pa.RecordBatch]]) -> pa.RecordBatch:
    """A packet for each target, in pieces, which know their packet by a number that is drawn for it."""
    sink = pa.BufferOutputStream()
    rows, ends = [], [0]
    for target, batches in shares.items():
        with pa.ipc.new_stream(sink, batches[0].schema) as stream:
            for batch in batches:
                stream.write_batch(batch)
        cuts = [*range(ends[-1] + PIECE, sink.tell(), PIECE), sink.tell()]
        packet = secrets.randbits(63)
        rows += [(target, packet, number, len(cuts)) for number in range(len(cuts))]
        ends += cuts
    buffers = [None, pa.py_buffer(np.array(ends, np.int32)), sink.getvalue()]
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, PACKETS, strict=False)]
    data = pa.Array.from_buffers(pa.binary(), len(rows), buffers)
    return pa.RecordBatch.from_arrays([*arrays, data], schema=PACKETS)


def opened(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows in packets, whose pieces come in any order."""
    waiting: dict[int, dict[int, pa.Buffer]] = {}
    for batch in batches:
        held = zip(
            *(batch.column(name).to_pylist() for name in PACKETS.names[1:-1]),
            batch.column("data"),
            strict=True,
        )
        for packet, number, pieces, data in held:
            found = waiting.setdefault(packet, {})
            found[number] = data.as_buffer()
            if len(found) == pieces:
                del waiting[packet]
                whole = found[0] if pieces == 1 else b"".join([found[i] for i in range(pieces)])
                with pa.ipc.open_stream(whole) as stream:
                    yield from stream
    if waiting:
        raise ValueError(f"{len(waiting)} packets lack some of their pieces")
