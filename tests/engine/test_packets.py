"""Rows of events go into packets and come out of them, each in the partition that its hash says."""

from __future__ import annotations

import pickle
from collections import defaultdict
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import packets
from streaming.packets import Split, opened

TYPES = {"view": pa.int32(), "key": pa.binary(), "item": pa.int32(), "time": pa.int64(), "h": pa.int64()}


def events(random: Random, count: int, lanes: int, key: int = 12) -> list[dict[str, Any]]:
    """Events some of which have no id, no row in a lane, or a row without key and time."""
    made = []
    for i in range(count):
        event: dict[str, Any] = {"part": random.randrange(4), "offset": i, "source": random.randrange(3)}
        event |= {"origin": random.choice([5, 7, -8]), "id0": random.getrandbits(64) - 2**63, "id1": -i}
        for n in range(lanes):
            known, keyed = random.random() < 0.8, random.random() < 0.9
            event[f"view_{n}"] = n if known else None
            event[f"key_{n}"] = random.randbytes(random.randrange(key)) if known and keyed else None
            event[f"item_{n}"] = -1 if keyed else -2
            event[f"time_{n}"] = random.randrange(2**41) if keyed else None
            event[f"h_{n}"] = random.getrandbits(64) - 2**63 if known else None
        event |= {"x0": random.choice([None, random.random()]), "z0": random.choice([None, "", "text", "ß"])}
        made.append(event)
    return made


def batches(given: list[dict[str, Any]], lanes: int, size: int) -> list[pa.RecordBatch]:
    names = {"part": pa.int32(), "offset": pa.int64(), "source": pa.int32()}
    names |= dict.fromkeys(("origin", "id0", "id1"), pa.int64())
    names |= {f"{name}_{n}": kind for n in range(lanes) for name, kind in TYPES.items()}
    schema = pa.schema({**names, "x0": pa.float64(), "z0": pa.string()})
    pieces = [given[i : i + size] for i in range(0, len(given), size)] or [[]]
    return [pa.RecordBatch.from_pylist(piece, schema) for piece in pieces]


def received(split: Split, sent: list[pa.RecordBatch]) -> dict[int, list[dict[str, Any]]]:
    """Rows by partition."""
    found = defaultdict(list)
    for batch in pickle.loads(pickle.dumps(split))(sent):
        assert batch.schema == packets.PACKETS
        for i, target in enumerate(batch.column("target").to_pylist()):
            for rows in opened([batch.slice(i, 1)]):
                found[target] += rows.to_pylist()
    return found


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 60),
    lanes=st.integers(0, 3),
    size=st.integers(1, 60),
    partitions=st.integers(1, 5),
    identities=st.booleans(),
)
def test_every_row_arrives_once_in_the_partition_of_its_hash(
    seed: int, count: int, lanes: int, size: int, partitions: int, identities: bool
) -> None:
    given = events(Random(seed), count, lanes)
    split = Split(lanes, ("x0", "z0"), partitions, identities)
    expected = defaultdict(list)
    for event in given:
        if identities and event["origin"] >= 0:
            row = {"item": event["source"], "part": event["part"], "offset": event["offset"]}
            expected[event["id0"] % partitions].append({**row, "h": event["id0"], "time": event["id1"]})
        for n in range(lanes):
            if event[f"view_{n}"] is not None:
                row = {name: event[f"{name}_{n}"] for name in TYPES}
                row |= {name: event[name] for name in ("part", "offset", "x0", "z0")}
                expected[event[f"h_{n}"] % partitions + partitions * identities].append(row)
    found = received(split, batches(given, lanes, size))

    def ordered(rows: list[dict[str, Any]]) -> list[str]:
        return sorted(map(repr, rows))

    assert {t: ordered(rows) for t, rows in found.items()} == {t: ordered(r) for t, r in expected.items()}


def test_large_messages_travel_in_packets_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "SIZE", 100_000)
    given = events(Random(1), 400, 1, key=20_000)
    given[7]["view_0"], given[7]["h_0"], given[7]["key_0"] = 0, 3, bytes(150_000)
    sent = batches(given, 1, 400)
    sizes = [
        len(data) for batch in Split(1, ("x0", "z0"), 2, True)(sent) for data in batch["data"].to_pylist()
    ]
    assert sum(size > 110_000 for size in sizes) <= 1
    assert len(sizes) < 4 * 2 * (sum(sizes) / 100_000 + 2)
    rows = [row for held in received(Split(1, ("x0", "z0"), 2, False), sent).values() for row in held]
    assert len(rows) == sum(event["view_0"] is not None for event in given)
