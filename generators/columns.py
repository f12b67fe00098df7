"""Events as columns: what a simulator makes and the encoder writes.

A column gives its values (for people, tests and training) and its JSON texts (for the wire). Those
that repeat (a user's age, a merchant's name, a weekday) refer to a row of a Table by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from generators import moments
from generators.draws import Bools, Ints, Words

Objects = NDArray[np.object_]
Source = Sequence[Any] | Callable[[Ints], Any] | NDArray[Any]
Rows = Ints | Bools
_HEX = np.array([b"%02x" % i for i in range(256)])
_to_json = msgspec.json.Encoder().encode


class Column(Protocol):
    """One field of many events."""

    def values(self) -> Any:
        """The values, one an event; an array of objects where they can be null or containers."""
        ...

    def texts(self) -> tuple[bytes, list[bytes]]:
        """(quote, JSON text of each value); the quote belongs on both sides of every text."""
        ...

    def take(self, rows: Rows) -> Column:
        """The same column of some of the events."""
        ...


def boxed(values: Sequence[Any]) -> Objects:
    """An array of Python objects, whatever they are."""
    array = np.empty(len(values), object)
    array[:] = values if isinstance(values, np.ndarray) else [*values]
    return array


def _typed(source: Source) -> Source:
    """A sequence of plain numbers or of truth values as an array of them."""
    if isinstance(source, Sequence) and len({type(value) for value in source}) == 1:
        array = np.asarray(source)
        return array if array.dtype.kind in "bif" else source
    return source


class Table:
    """Rows that columns refer to by number. A field is a sequence, or a function of row numbers.

    JSON is made once a row, when the row is first met: a large population costs only what is used.
    """

    def __init__(self, size: int, fields: Mapping[str, Source]) -> None:
        self.size = size
        self._fields = {name: _typed(source) for name, source in fields.items()}
        self.fields = tuple(fields)
        self._texts: dict[tuple[str, ...], tuple[Objects, Bools]] = {}

    def values(self, field: str, rows: Ints) -> Any:
        """Values of a field for some rows."""
        source = self._fields[field]
        if callable(source):
            return source(rows)
        if isinstance(source, np.ndarray):
            return source[rows]
        return [source[row] for row in rows.tolist()]

    def texts(self, fields: tuple[str, ...], rows: Ints) -> Objects:
        """`,"a":1,"b":"x"` for each of the rows."""
        return self._lazily(fields, rows, self._render)

    def words(self, field: str, rows: Ints) -> Objects:
        """A text field of each of the rows as bare UTF-8, without JSON."""
        return self._lazily((field, "bare"), rows, self._encode)

    def _lazily(
        self, key: tuple[str, ...], rows: Ints, make: Callable[[tuple[str, ...], Ints], list[bytes]]
    ) -> Objects:
        if key not in self._texts:
            self._texts[key] = (np.empty(self.size, object), np.zeros(self.size, bool))
        texts, made = self._texts[key]
        missing = ~made[rows]
        if missing.any():
            new = np.unique(rows[missing])
            texts[new] = boxed(make(key, new))
            made[new] = True
        return texts[rows]

    def _encode(self, key: tuple[str, ...], rows: Ints) -> list[bytes]:
        return [str(value).encode() for value in self.values(key[0], rows)]

    def _render(self, fields: tuple[str, ...], rows: Ints) -> list[bytes]:
        parts = []
        for field in fields:
            values = self.values(field, rows)
            plain = values.tolist() if isinstance(values, np.ndarray) else values
            name = b"," + _to_json(field) + b":"
            parts.append([name + _to_json(value) for value in plain])
        return [b"".join(row) for row in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Ref:
    """The `field` of row `rows[i]` of a table."""

    table: Table
    field: str
    rows: Ints

    def values(self) -> Any:
        values = self.table.values(self.field, self.rows)
        return values if isinstance(values, np.ndarray) else boxed(values)

    def texts(self) -> tuple[bytes, list[bytes]]:
        name = len(_to_json(self.field)) + 2
        return b"", [text[name:] for text in self.table.texts((self.field,), self.rows).tolist()]

    def take(self, rows: Rows) -> Ref:
        return Ref(self.table, self.field, self.rows[rows])


def words(field: str, vocabulary: Sequence[Any]) -> Table:
    """A table of one field with a row for each word."""
    return Table(len(vocabulary), {field: list(vocabulary)})


def refs(table: Table, rows: Ints) -> dict[str, Column]:
    """Every field of a table at the same rows, by name."""
    return {field: Ref(table, field, rows) for field in table.fields}


@dataclass(frozen=True)
class Number:
    """Decimals `units / 10**places`; rows where `null` is set are null."""

    units: Ints
    places: int = 0
    null: Bools | None = None

    def values(self) -> Any:
        plain = self.units / 10.0**self.places if self.places else self.units
        if self.null is None:
            return plain
        objects = plain.astype(object)
        objects[self.null] = None
        return objects

    def texts(self) -> tuple[bytes, list[bytes]]:
        plain = self.units / 10.0**self.places if self.places else self.units
        texts = msgspec.json.encode(plain.tolist())[1:-1].split(b",") if len(plain) else []
        if self.null is not None:
            for row in np.flatnonzero(self.null).tolist():
                texts[row] = b"null"
        return b"", texts

    def take(self, rows: Rows) -> Number:
        return Number(self.units[rows], self.places, None if self.null is None else self.null[rows])


def decimal(values: NDArray[Any], places: int, null: Bools | None = None) -> Number:
    """Numbers rounded to `places` decimals."""
    return Number(np.rint(values * 10.0**places).astype(np.int64), places, null)


@dataclass(frozen=True)
class Uuid:
    """128 bits written as a UUID."""

    high: Words
    low: Words

    def values(self) -> NDArray[np.str_]:
        return self._bytes().astype("U36")

    def texts(self) -> tuple[bytes, list[bytes]]:
        return b'"', self._bytes().tolist()

    def take(self, rows: Rows) -> Uuid:
        return Uuid(self.high[rows], self.low[rows])

    def _bytes(self) -> NDArray[np.bytes_]:
        pair = np.stack((self.high, self.low), axis=1)
        digits = _HEX[pair.view(np.uint8)].view(np.uint8).reshape(-1, 32)
        text = np.full((len(pair), 36), ord("-"), np.uint8)
        source = 0
        for start, size in ((0, 8), (9, 4), (14, 4), (19, 4), (24, 12)):
            text[:, start : start + size] = digits[:, source : source + size]
            source += size
        return text.view("S36").ravel()


@dataclass(frozen=True)
class Moment:
    """Milliseconds since the epoch; rows where `null` is set are null."""

    at: Ints
    null: Bools | None = None

    def values(self) -> Objects:
        moments_ = boxed([datetime.fromtimestamp(ms / 1000, UTC) for ms in self.at.tolist()])
        if self.null is not None:
            moments_[self.null] = None
        return moments_

    def texts(self) -> tuple[bytes, list[bytes]]:
        if self.null is None and len(self.at) and (self.at == self.at[0]).all():
            return b'"', moments.iso(self.at[:1]).tolist() * len(self.at)
        if self.null is None:
            return b'"', moments.iso(self.at).tolist()
        texts = np.full(len(self.at), b"null", object)
        known = np.flatnonzero(~self.null)
        if len(known):
            texts[known] = boxed([b'"%b"' % text for text in moments.iso(self.at[known]).tolist()])
        return b"", texts.tolist()

    def take(self, rows: Rows) -> Moment:
        return Moment(self.at[rows], None if self.null is None else self.null[rows])


@dataclass(frozen=True)
class Json:
    """Values that are JSON texts already."""

    ready: Objects

    def values(self) -> Objects:
        return boxed([msgspec.json.decode(text) for text in self.ready.tolist()])

    def texts(self) -> tuple[bytes, list[bytes]]:
        return b"", self.ready.tolist()

    def take(self, rows: Rows) -> Json:
        return Json(self.ready[rows])


@dataclass(frozen=True)
class Events:
    """Some events of a stream: their index in it, their time in milliseconds and their columns."""

    stream: str
    index: Ints
    at: Ints
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, field: str) -> Any:
        """Values of a field."""
        return self.columns[field].values()

    def take(self, rows: Rows) -> Events:
        """Some of the events, chosen by position or mask."""
        taken = {name: column.take(rows) for name, column in self.columns.items()}
        return Events(self.stream, self.index[rows], self.at[rows], taken)
