"""Commands made by columns are the commands made one by one."""

from __future__ import annotations

import hiredis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.redis import resp
from streaming.redis.cells import Cells, prefixed, varint
from streaming.redis.resp import Commands, Fields, Packed


def arguments(data: bytes) -> list[list[bytes]]:
    """The commands that a server would read."""
    reader = hiredis.Reader()
    reader.feed(data)
    commands = []
    while (command := reader.gets()) is not False:
        commands.append(command)
    return commands


@st.composite
def cells(draw: st.DrawFn, rows: int) -> Cells:
    numbers = np.array(
        draw(st.lists(st.integers(0, 2**64 - 1), min_size=rows, max_size=rows)), dtype=np.uint64
    )
    valid = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    made = draw(
        st.sampled_from([varint, lambda n: prefixed(b"head: ", n), lambda n: varint(n).after(b"\x20")])
    )
    return made(numbers).where(valid) if draw(st.booleans()) else made(numbers)


@st.composite
def bulks(draw: st.DrawFn) -> tuple[list[bytes], Fields, list[dict[bytes, bytes]]]:
    """Keys, fields in columns, and the same fields row by row."""
    rows = draw(st.integers(1, 12))
    value = st.binary(max_size=300)
    keys = draw(st.lists(st.binary(max_size=40), min_size=rows, max_size=rows))
    columns = {}
    for name in draw(st.lists(st.sampled_from([b"a", b"_ring:v", b"\r\n$1"]), unique=True)):
        entry = value if draw(st.booleans()) else st.none() | value
        columns[name] = draw(st.lists(entry, min_size=rows, max_size=rows))
    short = [(b"p%d" % i, draw(cells(rows))) for i in range(draw(st.integers(0, 3)))]
    expected = [{n: v for n, column in columns.items() if (v := column[i]) is not None} for i in range(rows)]
    for name, column in short:
        for row, text in zip(expected, column.tolist(), strict=True):
            row[name] = text
    return keys, Fields(columns, Packed(short) if short else None), expected


def flat(row: dict[bytes, bytes]) -> list[bytes]:
    return [part for pair in row.items() for part in pair]


@settings(max_examples=100)
@given(bulks(), st.data())
def test_commands_are_what_they_say(
    drawn: tuple[list[bytes], Fields, list[dict[bytes, bytes]]], data: st.DataObject
) -> None:
    keys, fields, rows = drawn
    plain = [[b"HSET", key, *flat(row)] for key, row in zip(keys, rows, strict=True)]
    fenced = [
        [b"EVALSHA", b"sha", b"1", k, b"f", k[:3], *flat(row)] for k, row in zip(keys, rows, strict=True)
    ]
    some = data.draw(st.lists(st.integers(0, len(keys) - 1), unique=True))
    first = data.draw(st.integers(0, len(keys)))
    for commands, expected in (
        (resp.hset(keys, fields), plain),
        (resp.script(b"sha", keys, [b"f", [k[:3] for k in keys]], fields), fenced),
    ):
        assert arguments(commands.render(range(len(keys)))) == expected
        assert arguments(commands.render(range(first, len(keys)))) == expected[first:]
        assert arguments(commands.render(some)) == [expected[i] for i in some]


def test_hmget_and_single_commands() -> None:
    assert arguments(resp.hmget([b"k", b""], [b"f", b"g"]).render(range(2))) == [
        [b"HMGET", b"k", b"f", b"g"],
        [b"HMGET", b"", b"f", b"g"],
    ]
    assert arguments(resp.command("SET", b"k", 1, 2.5)) == [[b"SET", b"k", b"1", b"2.5"]]
    assert Commands(0, (b"x",)).render(range(0)) == b""


def test_only_short_fields_are_packed() -> None:
    with pytest.raises(ValueError, match="at most 99 bytes"):
        Packed([(b"f", prefixed(b"x" * 92, np.zeros(1)))])
    with pytest.raises(ValueError, match="only one"):
        Fields(packed=Packed([(b"f", prefixed(b"", np.zeros(1)))])).joined(
            Fields(packed=Packed([(b"g", prefixed(b"", np.zeros(1)))]))
        )
    joined = Fields({b"a": [b"1"]}).joined(Fields({b"b": [b"2"]}))
    assert joined == Fields({b"a": [b"1"], b"b": [b"2"]})
