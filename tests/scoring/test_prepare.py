"""Prepared events are those of the online lane, message by message, whatever the messages are."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from generators import encode, stream
from generators.contracts import STREAMS
from generators.hostile import Hostility, Saboteur
from streaming import source
from streaming.events import NO_KEY, USED, Reader
from streaming.expressions import RAW, Message
from streaming.packets import opened
from streaming.plan import Plan
from streaming.prepare import Preparer

NOW = 1_772_323_200_000
VALUES: list[Any] = [
    None, "", " ", "12", "1e3", "NaN", "Infinity", -0.0, 1e308, 1e400, 2**70, -(2**63), 0.1, True, [], {}, [1],
    {"a": 1}, "{a}{b}", "ß日本\u0000\n", "\ud800", "2026-02-30T00:00:00Z", "2026-03-01T00:00:00.123456789Z",
    "2026-03-01T00:00:00", "2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "x" * 3000,
]  # fmt: skip
WHOLE = [None, b"", b" ", b"{", b"{}", b"{}{}", b"[]", b"null", b"7", b'"a"', b"{}x", b'{"a":}', b"\xff\xfe"]


def events(name: str, count: int, seed: int = 3) -> list[bytes]:
    _, values = encode(name, stream(name, seed=seed, start_index=0, n=count, start_time=NOW, rate=50.0))
    return values


def hostile(name: str) -> list[bytes | None]:
    """Events of a stream, good ones and broken ones of every kind."""
    random, found = Random(5), list(WHOLE)
    for value in events(name, 60):
        found.append(value)
        fields = json.loads(value)
        for _ in range(4):
            changed = dict(fields)
            for key in random.sample(sorted(fields), random.choice((1, 1, 3))):
                changed[key] = random.choice(VALUES)
            found.append(json.dumps(changed, allow_nan=True).encode(errors="surrogatepass"))
        found += [value + value, value[: random.randrange(len(value))], value + b" ", b"\xef\xbb\xbf" + value]
    late = stream(name, seed=9, start_index=0, n=200, start_time=NOW, rate=50.0)
    saboteur = Saboteur(9, name, Hostility(late=0.1, duplicates=0.2, malformed=0.4))
    return found + list(saboteur.messages(late, 200)[1])


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    found = []
    for name in STREAMS:
        for i, value in enumerate(hostile(name)):
            found.append(Message(STREAMS[name].topic, i % 3, i, NOW + 10 * i, value))
    Random(1).shuffle(found)
    return found


@pytest.fixture(scope="module")
def preparer(spark: Any, shipped_plan: Plan) -> Preparer:
    fields = {"transactions_stream": ("amount", "timestamp"), "iot_stream": ("sensor_readings",)}
    return Preparer(shipped_plan, spark, fields)


@pytest.fixture(scope="module")
def packed(spark: Any, preparer: Preparer, messages: list[Message]) -> list[pa.RecordBatch]:
    """What the online lane's tasks read: identities, and rows for views."""
    moments = [(*m[:3], np.datetime64(m.timestamp, "ms").item(), m.value) for m in messages]
    raw = spark.createDataFrame(moments, RAW)
    projection = preparer.projection
    admitted = source.admit(raw, preparer.plan.sources)
    packets = projection.rows(projection.project(admitted), 1, identities=True)
    return list(opened(packets.toArrow().to_batches()))


@pytest.fixture(scope="module")
def online(packed: list[pa.RecordBatch]) -> pa.Table:
    """The rows for views, by place."""
    rows = pa.Table.from_batches([batch for batch in packed if "view" in batch.schema.names])
    return rows.sort_by([("view", "ascending"), ("part", "ascending"), ("offset", "ascending")])


@pytest.fixture(scope="module")
def identities(packed: list[pa.RecordBatch]) -> pa.Table:
    """The rows for duplicates."""
    return pa.Table.from_batches([batch for batch in packed if "view" not in batch.schema.names])


def of_view(online: pa.Table, index: int) -> pa.RecordBatch:
    (batch,) = online.filter(pa.compute.equal(online["view"], index)).combine_chunks().to_batches()
    return batch


@pytest.mark.parametrize("batch", [1_000_000, 7])
def test_views_read_the_same_chunks(
    preparer: Preparer, messages: list[Message], online: pa.Table, batch: int
) -> None:
    plan, used = preparer.plan, 0
    ordered = sorted(messages, key=lambda m: (m.topic, m.partition, m.offset))
    ordered = ordered if batch > 7 else ordered[::40]
    pieces = [preparer.prepare(ordered[i : i + batch]) for i in range(0, len(ordered), batch)]
    for index, view in enumerate(plan.views):
        number = [s.name for s in plan.sources].index(view.source)
        expected = of_view(online, index)
        places = {m[1:3] for m in ordered if m.topic == plan.sources[number].topic}
        pairs = zip(expected["part"].to_pylist(), expected["offset"].to_pylist(), strict=True)
        expected = expected.filter(pa.array([pair in places for pair in pairs]))
        columns = preparer.projection.views[index]
        wanted = Reader(view, columns.values, columns.hashes).read(expected, NOW)
        got = []
        for prepared in pieces:
            rows = np.flatnonzero((prepared.source == number) & (prepared.code == 0))
            got.append((prepared, *prepared.chunk(index, rows)))
        assert sum(c.no_key for _, _, c in got) == wanted.no_key
        assert sum(c.filtered for _, _, c in got) == wanted.filtered
        assert sum(c.bad for _, _, c in got) == wanted.bad
        for name, column in wanted.tiles.columns.items():
            found = np.concatenate([c.tiles.columns[name] for _, _, c in got])
            assert same(found, column), (view.name, name)
        assert np.array_equal(np.concatenate([c.tiles.start for _, _, c in got]), wanted.tiles.start)
        keys = [c.keys[e] for _, _, c in got for e in c.tiles.entity.tolist()]
        assert keys == [wanted.keys[e] for e in wanted.tiles.entity.tolist()]
        hashes = [h for _, _, c in got for h in c.tiles.items.hash.tolist()]
        assert sorted(hashes) == sorted(wanted.tiles.items.hash.tolist())
        places_of = [(p.part[r], p.offset[r]) for p, rows, _ in got for r in rows.tolist()]
        assert places_of == list(zip(wanted.part.tolist(), wanted.offset.tolist(), strict=True))
        used += len(wanted.part)
    assert used > 20


def test_reasons_and_identities_are_the_online_lanes(
    preparer: Preparer, messages: list[Message], online: pa.Table, identities: pa.Table
) -> None:
    prepared = preparer.prepare(messages)
    for number, origin in enumerate(preparer.plan.sources):
        mine = np.flatnonzero(prepared.source == number)
        table = online.filter(pa.compute.equal(online["view"], -number - 1))
        wanted = {(r["part"], r["offset"]): (r["item"], r["key"]) for r in table.to_pylist()}
        bad = [i for i in mine.tolist() if prepared.code[i]]
        found = {
            (messages[i].partition, messages[i].offset): (prepared.code[i], messages[i].value) for i in bad
        }
        assert found == wanted
        assert len({code for code, _ in wanted.values()}) > 4, origin.name
        mask = pa.compute.equal(identities["item"], number)
        known = {(r["part"], r["offset"]): (r["h"], r["time"]) for r in identities.filter(mask).to_pylist()}
        signed = prepared.identity.view(np.int64).tolist()
        assert known == {
            (messages[i].partition, messages[i].offset): tuple(signed[i])
            for i in mine.tolist()
            if prepared.identified[i]
        }
        assert all(prepared.identified[i] == (prepared.event_ids[i] is not None) for i in mine.tolist())


def test_fields_and_times_are_as_parsed(preparer: Preparer) -> None:
    value = events("transactions", 1)[0]
    topic = STREAMS["transactions"].topic
    prepared = preparer.prepare(
        [
            Message(topic, 0, 0, NOW + 5, value),
            Message("other", 0, 1, NOW, value),
            Message(topic, 0, 2, NOW, b"{"),
        ]
    )
    number = [s.name for s in preparer.plan.sources].index("transactions_stream")
    assert prepared.source.tolist() == [number, -1, number]
    assert prepared.reason(0) is None
    assert prepared.reason(2) == "not a json message of this source's schema"
    fields = prepared.fields(number, np.array([0, 2]))
    assert fields["amount"].to_pylist() == [json.loads(value)["amount"], None]
    assert prepared.time[0] == NOW
    assert prepared.arrived.tolist() == [NOW + 5, NOW, NOW]
    assert prepared.event_ids == [json.loads(value)["transaction_id"], None, None]


def test_nothing_gives_nothing_and_calls_leave_nothing_behind(preparer: Preparer) -> None:
    assert len(preparer.prepare([])) == 0
    topic = STREAMS["iot"].topic
    many = [Message(topic, 0, i, NOW + 9_000, v) for i, v in enumerate(events("iot", 300))]
    whole = preparer.prepare(many)
    for _ in range(3):
        assert len(preparer.prepare(many[:1])) == 1
    again = preparer.prepare(many)
    assert np.array_equal(whole.identity, again.identity)
    assert not whole.code.any()


def test_an_event_without_key_is_counted(preparer: Preparer) -> None:
    fields = json.loads(events("transactions", 1)[0]) | {"merchant_id": None}
    topic = STREAMS["transactions"].topic
    prepared = preparer.prepare([Message(topic, 0, 0, NOW, json.dumps(fields).encode())])
    places, chunk = prepared.chunk(preparer.view("merchant_transactions")[0], np.array([0]))
    assert len(places) == 0
    assert chunk.no_key == 1
    assert prepared._batch.column("item_1").to_pylist()[0] in (USED, NO_KEY)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype == object:
        return a.tolist() == b.tolist()
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
