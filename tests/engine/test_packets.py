"""Rows of events go into packets and come out of them, each in the partition that its hash says."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from random import Random
from typing import Any
from unittest.mock import patch

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
    """Rows by partition, of pieces that come in any order."""
    held = defaultdict(list)
    for batch in pickle.loads(pickle.dumps(split))(sent):
        assert batch.schema == packets.PACKETS
        for i, target in enumerate(batch.column("target").to_pylist()):
            held[target].append(batch.slice(i, 1))
    for pieces in held.values():
        Random(len(pieces)).shuffle(pieces)
    return {target: [row for rows in opened(held[target]) for row in rows.to_pylist()] for target in held}


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 60),
    lanes=st.integers(0, 3),
    size=st.integers(1, 60),
    partitions=st.integers(1, 5),
    identities=st.booleans(),
    piece=st.sampled_from([packets.PIECE, 300]),
)
def test_every_row_arrives_once_in_the_partition_of_its_hash(
    seed: int, count: int, lanes: int, size: int, partitions: int, identities: bool, piece: int
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
    with patch.object(packets, "PIECE", piece):
        found = received(split, batches(given, lanes, size))

    def ordered(rows: list[dict[str, Any]]) -> list[str]:
        return sorted(map(repr, rows))

    assert {t: ordered(rows) for t, rows in found.items()} == {t: ordered(r) for t, r in expected.items()}


def test_large_messages_travel_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "SIZE", 100_000)
    monkeypatch.setattr(packets, "PIECE", 40_000)
    given = events(Random(1), 400, 1, key=20_000)
    given[7]["view_0"], given[7]["h_0"], given[7]["key_0"] = 0, 3, bytes(150_000)
    sent = batches(given, 1, 30)
    rows = [row for batch in Split(1, ("x0", "z0"), 2, True)(sent) for row in batch.to_pylist()]
    assert max(len(row["data"]) for row in rows) == 40_000
    whole: Counter[int] = Counter()
    for row in rows:
        whole[row["packet"]] += len(row["data"])
    assert sum(size > 110_000 for size in whole.values()) <= 1
    assert len(whole) < 4 * 2 * (sum(whole.values()) / 100_000 + 2)
    found = [row for held in received(Split(1, ("x0", "z0"), 2, False), sent).values() for row in held]
    assert len(found) == sum(event["view_0"] is not None for event in given)


def test_a_packet_that_lacks_a_piece_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "PIECE", 300)
    (batch,) = Split(1, ("x0", "z0"), 1, False)(batches(events(Random(1), 20, 1), 1, 20))
    assert batch.num_rows > 2
    with pytest.raises(ValueError, match="1 packets lack"):
        [*opened([batch.slice(1)])]
