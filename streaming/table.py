"""The columns of tiles as one matrix of 8-byte words: rows are taken, joined and merged in a step for all fields.

Fields that one ufunc merges lie side by side. Texts are apart, in a matrix of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from streaming.parts import I64, PARTS, TEXT, Field, Groups, Part
from streaming.plan import Slot


class Schema:
    """Where the fields of `slots` are: those of `numbers` are rows of words, those of `texts` rows of texts."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        held = [(PARTS[slot.part].ufunc(slot), f) for slot in slots for f in PARTS[slot.part].fields(slot)]
        numbers = sorted([one for one in held if one[1].dtype != TEXT], key=_merged_by)
        self.numbers = tuple(field for _, field in numbers)
        self.texts = tuple(field for _, field in held if field.dtype == TEXT)
        self.place = {
            f.name: (i, f.dtype) for fields in (self.numbers, self.texts) for i, f in enumerate(fields)
        }
        self.empty = np.array([[_word(field)] for field in self.numbers], I64).reshape(-1, 1)
        """The words of a tile without events."""
        self.blocks: list[tuple[np.ufunc, np.dtype, slice]] = []
        """Neighbouring rows of words, and what merges them."""
        for _, block in itertools.groupby(enumerate(numbers), lambda one: _merged_by(one[1])):
            rows = list(block)
            (first, (ufunc, field)), (last, _) = rows[0], rows[-1]
            if ufunc is not None:
                self.blocks.append((ufunc, field.dtype, slice(first, last + 1)))
        self.others: dict[Part, list[Slot]] = {}
        """The slots that no ufunc merges, by part."""
        for slot in slots:
            part = PARTS[slot.part]
            if part.fields(slot) and part.ufunc(slot) is None:
                self.others.setdefault(part, []).append(slot)


@lru_cache(maxsize=256)
def schema(slots: tuple[Slot, ...]) -> Schema:
    """The schema of these slots, made once."""
    return Schema(slots)


@dataclass(frozen=True, eq=False)
class Table(Mapping[str, np.ndarray]):
    """A column by each field's name: `words` int64[numbers, rows] and `texts` (bytes or None) [texts, rows]."""

    schema: Schema
    words: np.ndarray
    texts: np.ndarray

    @staticmethod
    def of(schema: Schema, columns: Mapping[str, np.ndarray], rows: int) -> Table:
        """From columns of `rows` values; a field that is not among them is empty."""
        table = Table.room(schema, rows)
        for field in (*schema.numbers, *schema.texts):
            if field.name in columns:
                table.put(field.name, columns[field.name])
            else:
                table[field.name][:] = field.empty
        return table

    @staticmethod
    def room(schema: Schema, rows: int) -> Table:
        """For so many rows, with nothing of use in them."""
        words = np.empty((len(schema.numbers), rows), I64)
        return Table(schema, words, np.empty((len(schema.texts), rows), TEXT))

    @staticmethod
    def joined(tables: Sequence[Table]) -> Table:
        """The rows of all, of one schema; at least one."""
        if len(tables) == 1:
            return tables[0]
        first = tables[0]
        texts = np.concatenate([one.texts for one in tables], axis=1) if first.schema.texts else None
        words = np.concatenate([one.words for one in tables], axis=1)
        return Table(first.schema, words, np.empty((0, words.shape[1]), TEXT) if texts is None else texts)

    @property
    def rows(self) -> int:
        return self.words.shape[1]

    def __getitem__(self, name: str) -> np.ndarray:
        row, dtype = self.schema.place[name]
        return self.texts[row] if dtype == TEXT else self.words[row].view(dtype)

    def __contains__(self, name: object) -> bool:
        return name in self.schema.place

    def __iter__(self) -> Iterator[str]:
        return iter(self.schema.place)

    def __len__(self) -> int:
        return len(self.schema.place)

    def put(self, name: str, column: np.ndarray) -> None:
        """Write the column of a field."""
        self[name][:] = column

    def stacked(self, names: Iterable[str], dtype: np.dtype) -> np.ndarray:
        """Columns of numbers of one type, [names, rows]."""
        return self.words[[self.schema.place[name][0] for name in names]].view(dtype)

    def take(self, rows: np.ndarray) -> Table:
        """The rows of these numbers, or of this mask."""
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        texts = self.texts[:, rows] if self.schema.texts else np.empty((0, len(rows)), TEXT)
        return Table(self.schema, self.words.take(rows, axis=1), texts)

    def behind(self, row: int) -> Table:
        """The rows from this one on, without a copy."""
        return Table(self.schema, self.words[:, row:], self.texts[:, row:])

    def of_schema(self, schema: Schema) -> Table:
        """With the fields of another schema, of which those that are not here are empty."""
        return self if schema is self.schema else Table.of(schema, self, self.rows)

    def spread(self, rows: np.ndarray, count: int) -> Table:
        """A table of `count` rows, which has these at `rows`; the others are empty."""
        whole = Table(
            self.schema,
            np.repeat(self.schema.empty, count, axis=1),
            np.full((len(self.schema.texts), count), None, TEXT),
        )
        whole.words[:, rows], whole.texts[:, rows] = self.words, self.texts
        return whole

    def reduce(self, groups: Groups) -> Table:
        """The rows of each group merged into one."""
        many = np.flatnonzero(groups.sizes > 1)
        if 2 * len(many) > len(groups.starts):
            return self._reduced(groups)
        # Most tiles of a ring meet no partner: they are copied, and only the others merged.
        merged = self.take(groups.starts)
        if len(many):
            sizes = groups.sizes[many]
            starts = np.cumsum(sizes) - sizes
            total = int(sizes.sum())
            rows = np.repeat(groups.starts[many] - starts, sizes) + np.arange(total)
            changed = self.take(rows)._reduced(Groups(starts, total))
            merged.words[:, many], merged.texts[:, many] = changed.words, changed.texts
        return merged

    def _reduced(self, groups: Groups) -> Table:
        done = Table.room(self.schema, len(groups.starts))
        # A sum may overflow: it is then infinite, and its features null.
        with np.errstate(over="ignore", invalid="ignore"):
            for ufunc, dtype, rows in self.schema.blocks:
                words = self.words[rows].view(dtype)
                ufunc.reduceat(words, groups.starts, axis=1, out=done.words[rows].view(dtype))
            for part, slots in self.schema.others.items():
                part.reduce(slots, self, groups, done)
        return done


def _merged_by(one: tuple[np.ufunc | None, Field]) -> tuple[str, str]:
    ufunc, field = one
    return ufunc.__name__ if ufunc else "", field.dtype.str


def _word(field: Field) -> int:
    return int(np.array([field.empty], field.dtype).view(I64)[0])
