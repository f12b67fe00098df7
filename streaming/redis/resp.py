"""Redis commands as bytes, many at a time.

A command of RESP is `*<arguments>` and then `$<length>`, bytes for each argument. A bulk of n
commands is held as columns: what all commands share is one bytes object, what differs is a list
of n; interleaving the columns and one join make the bytes of a whole chunk.
Source: https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from streaming.redis.cells import Cells


class _Heads(dict[int, bytes]):
    """Length -> what precedes an argument of that length, with the line end of the one before."""

    def __missing__(self, length: int) -> bytes:
        head = self[length] = b"\r\n$%d\r\n" % length
        return head


_HEADS = _Heads()


def heads(arguments: Iterable[bytes]) -> list[bytes]:
    """What precedes each argument on the wire."""
    return list(map(_HEADS.__getitem__, map(len, arguments)))


def argument(value: bytes) -> bytes:
    """One argument with its length, without its closing line end."""
    return _HEADS[len(value)] + value


Argument = bytes | str | int | float


def command(*arguments: Argument) -> bytes:
    """One whole command."""
    encoded = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d" % len(encoded) + b"".join(map(argument, encoded)) + b"\r\n"


class Packed:
    """Short fields of many rows, written into RESP through one template, a chunk at a time when asked.

    Each of `fields` is a field and its value in every row. Raises ValueError for values of more
    than 99 bytes: those are columns of `Fields`.
    """

    def __init__(self, fields: Sequence[tuple[bytes, Cells]]) -> None:
        self.pairs = len(fields)
        self._count = len(fields[0][1])
        template = b""
        self._spots: list[tuple[int, Cells]] = []
        for name, cells in fields:
            width = cells.data.shape[1]
            if width > 99 or len(cells) != self._count:
                raise ValueError(
                    f"a packed field has {self._count} rows of at most 99 bytes, not {cells.data.shape}"
                )
            template += argument(name) + b"\r\n$"
            self._spots.append((len(template), cells))
            digits = b"%d" if cells.keep is None else b"%02d"
            template += digits % width + b"\r\n" + bytes(width)
        self._ragged = any(cells.keep is not None for _, cells in fields)
        self._template = np.frombuffer(template, np.uint8)

    def __len__(self) -> int:
        return self._count

    def take(self, which: Sequence[int]) -> list[bytes]:
        """The pairs of the rows in `which`, one bytes object a row."""
        rows = (
            slice(which.start, which.stop) if isinstance(which, range) else np.asarray(which, dtype=np.int64)
        )
        data = np.empty((len(which), len(self._template)), dtype=np.uint8)
        data[:] = self._template
        keep = np.ones(data.shape, dtype=bool) if self._ragged else None
        for at, cells in self._spots:
            width = cells.data.shape[1]
            if keep is None or cells.keep is None:
                start = at + len(b"%d\r\n" % width)
                data[:, start : start + width] = cells.data[rows]
                continue
            value = slice(at + 4, at + 4 + width)
            kept = cells.keep[rows]
            tens, ones = np.divmod(kept.sum(axis=1, dtype=np.uint8), np.uint8(10))
            data[:, at], data[:, at + 1], data[:, value] = tens + ord("0"), ones + ord("0"), cells.data[rows]
            keep[:, at], keep[:, value] = tens > 0, kept
        return Cells(data, keep).tolist()


Column = bytes | list[bytes] | Packed


@dataclass(frozen=True)
class Commands:
    """n commands of one shape: each is the concatenation of its element of every column.

    `failpoint` is the one between any two chunks in which they are sent.
    """

    count: int
    columns: tuple[Column, ...]
    failpoint: str = ""

    def render(self, which: Sequence[int]) -> bytes:
        """The bytes of the commands numbered in `which` (ranges have step 1)."""
        size, width = len(which), len(self.columns)
        parts: list[bytes] = [b""] * (size * width)
        for place, column in enumerate(self.columns):
            if isinstance(column, bytes):
                parts[place::width] = repeat(column, size)
            elif isinstance(column, Packed):
                parts[place::width] = column.take(which)
            elif isinstance(which, range):
                parts[place::width] = column[which.start : which.stop]
            else:
                parts[place::width] = [column[i] for i in which]
        return b"".join(parts)


@dataclass(frozen=True)
class Fields:
    """Hash fields to write for n keys.

    `columns` maps a field to its n values, where None leaves that field of that key as it is;
    `packed` adds pairs that are already in RESP.
    """

    columns: Mapping[bytes, Sequence[bytes | None]] = field(default_factory=dict)
    packed: Packed | None = None

    def joined(self, other: Fields) -> Fields:
        """Both; at most one of them may be packed."""
        if self.packed and other.packed:
            raise ValueError("only one of the two can be packed")
        return Fields({**self.columns, **other.columns}, self.packed or other.packed)

    def layout(self) -> tuple[list[Column], int | list[int]]:
        """Columns of RESP, and the number of arguments (one for all keys, or one for each)."""
        columns: list[Column] = []
        count: int | list[int] = 2 * self.packed.pairs if self.packed else 0
        for name, values in self.columns.items():
            head = argument(name)
            full = [v for v in values if v is not None]
            if len(full) == len(values):
                columns += [head, heads(full), full]
                count = count + 2 if isinstance(count, int) else [c + 2 for c in count]
                continue
            kept = [v is not None for v in values]
            columns += [
                [head if k else b"" for k in kept],
                [_HEADS[len(v)] if v is not None else b"" for v in values],
                [v or b"" for v in values],
            ]
            before = repeat(count, len(kept)) if isinstance(count, int) else count
            count = [c + 2 * k for c, k in zip(before, kept, strict=True)]
        if self.packed:
            columns.append(self.packed)
        return columns, count


def _counts(count: int | list[int], fixed: int) -> Column:
    return b"*%d" % (count + fixed) if isinstance(count, int) else [b"*%d" % (c + fixed) for c in count]


def hmget(keys: list[bytes], fields: Sequence[bytes]) -> Commands:
    """HMGET of the same fields of every key."""
    start = b"*%d" % (2 + len(fields)) + argument(b"HMGET")
    return Commands(len(keys), (start, heads(keys), keys, b"".join(map(argument, fields)) + b"\r\n"))


def hmget_each(keys: list[bytes], fields: Sequence[tuple[bytes, ...]]) -> Commands:
    """HMGET of fields of its own of every key."""
    starts = {names: b"*%d" % (2 + len(names)) + argument(b"HMGET") for names in set(fields)}
    ends = {names: b"".join(map(argument, names)) + b"\r\n" for names in starts}
    return Commands(
        len(keys), ([starts[names] for names in fields], heads(keys), keys, [ends[names] for names in fields])
    )


def hset(keys: list[bytes], fields: Fields) -> Commands:
    """HSET of each key."""
    columns, count = fields.layout()
    columns = [_counts(count, 2), argument(b"HSET"), heads(keys), keys, *columns, b"\r\n"]
    return Commands(len(keys), tuple(columns))


def script(
    sha: bytes, keys: list[bytes], arguments: Sequence[bytes | list[bytes]], fields: Fields
) -> Commands:
    """EVALSHA with one key, then `arguments` (bytes shared by all, or one for each key), then the fields."""
    columns, count = fields.layout()
    fixed: list[Column] = []
    for value in arguments:
        fixed += [argument(value)] if isinstance(value, bytes) else [heads(value), value]
    start = argument(b"EVALSHA") + argument(sha) + argument(b"1")
    columns = [_counts(count, 4 + len(arguments)), start, heads(keys), keys, *fixed, *columns, b"\r\n"]
    return Commands(len(keys), tuple(columns))


def repeated(arguments: Sequence[Sequence[Argument]]) -> Commands:
    """Commands of any shape, one by one."""
    return Commands(len(arguments), ([command(*a) for a in arguments],))
