"""Event ids that were seen: sorted runs against a plain set, partitions that change, the copy that stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from streaming import duplicates, packets
from streaming.action import Action
from streaming.checkpoint import Checkpoint, Entry
from streaming.duplicates import Copies, Finder, Span, ranked
from streaming.errors import LostWritesError
from streaming.lanes.memory import REPLAYED, Memory
from streaming.packets import Split
from streaming.seen import Ids, Seen

# Few values, so that ids share their first word and come again.
ID = st.tuples(st.integers(-3, 3), st.integers(0, 3))


def ids(pairs) -> Ids:
    """Sorted by the first word, as a batch brings them."""
    words = np.array(sorted(pairs), np.int64).reshape(-1, 2).view(np.uint64)
    order = np.argsort(words[:, 0], kind="stable")
    return Ids(words[order, 0], words[order, 1])


def pairs(found: Ids) -> list[tuple[int, int]]:
    return list(zip(found.first.view(np.int64).tolist(), found.second.view(np.int64).tolist(), strict=True))


@settings(max_examples=150)
@given(st.lists(st.sets(ID), min_size=1, max_size=40), st.data())
def test_runs_answer_like_a_set_of_each_batch(tmp_path_factory, batches, data):
    checkpoint = Checkpoint(str(tmp_path_factory.mktemp("seen")))
    seen = Seen(checkpoint, 0, 1)
    for batch, brought in enumerate(batches):
        checkpoint.remember_seen(batch, 0, ids(brought).encode())
    for _ in range(6):
        # Any batch may be asked for, an earlier one too: it is run again.
        before = data.draw(st.integers(0, len(batches)))
        oldest = data.draw(st.integers(0, before))
        seen.read([(n, 1) for n in range(oldest, before)])
        asked = ids(data.draw(st.sets(ID)))
        known = set().union(*batches[oldest:before])
        assert seen.has(asked, oldest, before).tolist() == [pair in known for pair in pairs(asked)]


@given(st.sets(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 5)), max_size=40))
def test_a_lane_with_other_partitions_reads_the_old_files(tmp_path_factory, brought):
    checkpoint = Checkpoint(str(tmp_path_factory.mktemp("seen")))
    for partition in range(3):
        checkpoint.remember_seen(0, partition, ids(brought).of(partition, 3).encode())
    found = []
    for partition in range(2):
        seen = Seen(checkpoint, partition, 2)
        seen.read([(0, 3)])
        mine = ids(brought).of(partition, 2)
        assert seen.has(mine, 0, 1).all()
        found += pairs(mine)
    assert sorted(found) == sorted(brought)


def test_memory_is_bounded_by_what_is_live(tmp_path):
    checkpoint = Checkpoint(str(tmp_path))
    seen = Seen(checkpoint, 0, 1)
    for batch in range(200):
        checkpoint.remember_seen(batch, 0, ids([(batch * 100 + n, 0) for n in range(100)]).encode())
        seen.read([(n, 1) for n in range(max(0, batch - 19), batch + 1)])
    assert len(seen) <= 2 * 20 * 100
    assert len(seen.runs) < 10


def test_ids_that_are_gone_are_named(tmp_path):
    with pytest.raises(
        LostWritesError, match="lost the event ids of batch 4, and duplicates would pass: run"
    ):
        Seen(Checkpoint(str(tmp_path)), 0, 1).read([(4, 1)])


@given(st.lists(st.tuples(ID, st.integers(0, 2), st.integers(0, 50)), unique_by=lambda row: row[1:]))
def test_the_first_copy_is_the_one_with_the_lowest_place(rows):
    first, second, part, offset = (
        np.array([f(row) for row in rows], np.int64)
        for f in (lambda r: r[0][0], lambda r: r[0][1], lambda r: r[1], lambda r: r[2])
    )
    order, head = ranked(first.view(np.uint64), second.view(np.uint64), part, offset)
    kept = {(rows[i][0], rows[i][1:]) for i in order[head].tolist()}
    assert kept == {(i, min(row[1:] for row in rows if row[0] == i)) for i, *_ in rows}


def test_copies_are_found_by_their_place():
    spans = [Span(5, 1000, 4), Span(0, 7, 3)]
    places = {5: [np.array([1], np.uint32).tobytes(), np.array([3], np.uint32).tobytes()], 0: []}
    copies = Copies.of(spans, places)
    part, offset = np.array([5, 5, 5, 5, 0, 0]), np.array([1000, 1001, 1002, 1003, 7, 9])
    assert copies.count == 2
    assert copies.among(part, offset).tolist() == [False, True, False, True, False, False]


def test_a_batch_finds_its_copies_the_same_way_each_time(spark, tmp_path):
    """b = a batch; an id in two partitions, in two batches, and one of which nothing came before.

    batch 0:  p0@0 a   p0@1 b   p1@0 a        the copy of a at p1@0 goes
    batch 1:  p0@2 c   p1@1 b   p1@2 c        b was seen; of c the one at p0@2 stays
    """
    checkpoint = Checkpoint(str(tmp_path))
    batches = [[("a", 0, 0), ("b", 0, 1), ("a", 1, 0)], [("c", 0, 2), ("b", 1, 1), ("c", 1, 2)]]
    starts = [{0: 0, 1: 0}, {0: 2, 1: 1}]

    def copies(batch: int) -> set[tuple[int, int]]:
        frame = spark.createDataFrame(batches[batch], "id string, part int, offset bigint")
        frame = frame.selectExpr(
            "0 AS source",
            "part",
            "offset",
            "1L AS origin",
            "xxhash64(id) AS id0",
            "xxhash64('id', id) AS id1",
        )
        # Four partitions for three ids: some task has nothing to look at.
        frame = frame.mapInArrow(Split(0, (), 4, True), packets.OUTPUT).repartitionById(4, F.col("target"))
        live = tuple((n, 4) for n in range(batch))
        finder = Finder(checkpoint, checkpoint.identity, batch, 4, live, (starts[batch],))
        rows = Action.of(frame.mapInArrow(finder, duplicates.OUTPUT)).collect(range(4))
        return {
            (row.part, starts[batch][row.part] + place)
            for row in rows
            for place in np.frombuffer(row.data, np.uint32).tolist()
        }

    for batch in (0, 1, 0, 1):
        assert copies(batch) == [{(1, 0)}, {(1, 1), (1, 2)}][batch]
    assert all(checkpoint.seen(batch, partition) is not None for batch in (0, 1) for partition in range(4))


def entry(batch: int, time: int) -> Entry:
    return Entry(batch, {}, {}, {}, time, 1)


def test_a_batch_remembers_for_the_horizon_and_forgets_after_it(tmp_path):
    checkpoint = Checkpoint(str(tmp_path))
    memory = Memory(checkpoint, horizon=100)
    for batch in range(REPLAYED + 50):
        now = entry(batch, batch * 10)
        checkpoint.record(now)
        assert memory.live(now) == [(n, 1) for n in range(max(0, batch - 10), batch)]
        checkpoint.remember_seen(batch, 0, b"")
        memory.forget(now)
    # Still there: what the last batch looks at, and what the batches that may be repeated looked at.
    assert checkpoint.batches_seen() == set(range(39, REPLAYED + 50))
    assert Memory(checkpoint, 100).live(entry(60, 600)) == [(n, 1) for n in range(50, 60)]


def test_a_lane_whose_memory_was_deleted_says_so(tmp_path):
    checkpoint = Checkpoint(str(tmp_path))
    for batch in range(3):
        checkpoint.record(entry(batch, batch))
        checkpoint.remember_seen(batch, 0, b"")
    checkpoint.forget_seen(1)
    with pytest.raises(LostWritesError, match="no longer has the event ids of batch 1"):
        Memory(checkpoint, 100).live(entry(3, 3))
