"""Events to Kafka keys and JSON values, a column at a time.

Fields that refer to the same row of the same table are written as one text, kept from the last
time; what is left is formatted by column and joined by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import groupby, repeat

import numpy as np

from generators.columns import Events, Number, Ref, Table
from generators.contracts import STREAMS
from generators.draws import Ints

_LOW, _HIGH = -1024, 1 << 14


def encode(stream: str, events: Events) -> tuple[list[bytes], list[bytes]]:
    """(keys, values) of the events in order: the entity's id, and compact JSON in contract order."""
    contract = STREAMS[stream]
    pieces: list[Iterable[bytes]] = []
    static = b"{"
    for _, run in groupby(contract.contract.__struct_fields__, lambda f: _shared(events, f)):
        fields = tuple(run)
        known = _known(events, fields)
        if known is not None:
            table, rows = known
            if table.size == 1 and static != b"{":
                static += table.texts(fields, np.zeros(1, np.int64))[0]
                continue
            pieces += [repeat(static)] if static else []
            pieces.append(table.texts(fields, rows).tolist())
            static = b""
            continue
        for field in fields:
            quote, texts = events.columns[field].texts()
            comma = b"" if static == b"{" else b","
            pieces += [repeat(static + comma + b'"%b":' % field.encode() + quote), texts]
            static = quote
    pieces.append(repeat(static + b"}"))
    return keys(stream, events), list(map(b"".join, zip(*pieces, strict=False)))


def keys(stream: str, events: Events) -> list[bytes]:
    """The Kafka key of each event."""
    column = events.columns[STREAMS[stream].key]
    if not isinstance(column, Ref):
        raise TypeError(f"the key of {stream} must refer to a table of entities")
    return column.table.words(column.field, column.rows).tolist()


def _shared(events: Events, field: str) -> tuple[int, int] | str:
    """Fields with the same answer stand in the same rows of the same table."""
    column = events.columns[field]
    return (id(column.table), id(column.rows)) if isinstance(column, Ref) else field


def _known(events: Events, fields: tuple[str, ...]) -> tuple[Table, Ints] | None:
    """The table and rows to find the text of these fields in, if there is such a table."""
    column = events.columns[fields[0]]
    if isinstance(column, Ref):
        return column.table, column.rows
    if not isinstance(column, Number) or not len(column.units):
        return None
    units = column.units if column.null is None else np.where(column.null, 0, column.units)
    if units.min() <= _LOW or units.max() >= _HIGH:
        return None
    rows = units - _LOW if column.null is None else np.where(column.null, 0, units - _LOW)
    return _numbers(fields[0], column.places), rows


@cache
def _numbers(field: str, places: int) -> Table:
    """Every small number of a field; row 0 is null."""

    def value(rows: Ints) -> list[float | int | None]:
        units = Number(rows + _LOW, places, rows == 0)
        return units.values().tolist()

    return Table(_HIGH - _LOW, {field: value})
