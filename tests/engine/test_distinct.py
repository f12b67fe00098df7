"""Counting different values: exact while few, estimated within its stated error, whatever the order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming import distinct
from streaming.distinct import Items


def make_items(rows):
    """Items of (entity, start, slot, hash) rows."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return Items(
        *(np.array(c, d) for c, d in zip(columns, (np.int64, np.int64, np.uint16, np.uint64), strict=True))
    )


def rows_of(items):
    return list(
        zip(
            items.entity.tolist(), items.start.tolist(), items.slot.tolist(), items.hash.tolist(), strict=True
        )
    )


def naive_count(rows, entity, slot, since, k):
    hashes = sorted({h for e, start, s, h in rows if (e, s) == (entity, slot) and start >= since})
    return len(hashes) if len(hashes) <= k else round(k / ((hashes[k] + 1) / 2.0**64))


few = st.integers(0, 60)
wide = st.integers(0, 2**64 - 1)
# Hashes that differ only in their last bits, as a short sort key does not see.
alike = st.integers(0, 40).map(lambda n: 7 * 2**50 + n)
rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 1), few | wide | alike), max_size=150
)


@settings(max_examples=200)
@given(rows, st.integers(1, 6), st.integers(1, 4))
def test_counts_are_those_of_all_values(drawn, k, pieces):
    merged = Items.none()
    for piece in range(pieces):
        merged = distinct.merge(distinct.concat([merged, make_items(drawn[piece::pieces])]), k)
    since = np.array([[0, 10, 29], [5, 31, 15], [-3, 20, 1]])
    for slot in (0, 1):
        want = [[naive_count(drawn, e, slot, int(t), k) for t in since[e]] for e in range(3)]
        for items in (merged, make_items(drawn)):
            assert distinct.count(items, (slot,), since, k)[0].T.tolist() == want


@settings(max_examples=100)
@given(rows, st.integers(1, 6))
def test_merged_items_are_sorted_and_each_hash_is_at_its_youngest_tile(drawn, k):
    got = rows_of(distinct.merge(make_items(drawn), k))
    places = [(entity, slot, hash_) for entity, _, slot, hash_ in got]
    assert places == sorted(set(places))
    youngest: dict[tuple[int, int, int], int] = {}
    for entity, start, slot, hash_ in drawn:
        youngest[entity, slot, hash_] = max(start, youngest.get((entity, slot, hash_), start))
    assert all(youngest[entity, slot, hash_] == start for entity, start, slot, hash_ in got)


def test_a_set_stays_small_however_many_values_it_saw():
    rng, k = np.random.default_rng(8), 64
    held, seen = Items.none(), 0
    for tile in range(400):
        n = 500
        fresh = Items(
            np.zeros(n, np.int64),
            np.full(n, tile),
            np.zeros(n, np.uint16),
            rng.integers(0, 2**64, n, dtype=np.uint64),
        )
        held, seen = distinct.merge(distinct.concat([held, fresh]), k), seen + n
    # (k + 1) (1 + ln(n / k)) of the 200,000 values must stay; k + 1 in every tile would be 26,000
    assert len(held) <= 1.5 * (k + 1) * (1 + math.log(seen / k))


@pytest.mark.parametrize("k", [128, 512])
def test_the_estimate_is_within_its_standard_error(k):
    rng, errors = np.random.default_rng(k), []
    for size in [k + 1, 2 * k, 1_000, 5_000, 20_000] * 40:
        hashes = rng.integers(0, 2**64, max(size, k + 1), dtype=np.uint64)
        n = len(hashes)
        items = Items(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint16), hashes)
        got = distinct.count(distinct.merge(items, k), (0,), np.zeros((1, 1), np.int64), k).item()
        errors.append(got / n - 1)
    stated = 1 / math.sqrt(k - 1)
    assert math.sqrt(np.mean(np.square(errors))) < 1.1 * stated
    assert abs(np.mean(errors)) < 4 * stated / math.sqrt(len(errors))


def test_exact_up_to_k_and_then_an_estimate():
    k = 16
    hashes = np.random.default_rng(2).integers(0, 2**64, 17, dtype=np.uint64).tolist()
    for n in (0, 1, 15, 16):
        items = distinct.merge(make_items([(0, 5, 3, h) for h in hashes[:n]]), k)
        assert distinct.count(items, (3,), np.array([[5, 6]]), k).tolist() == [[[n], [0]]]
    items = distinct.merge(make_items([(0, 5, 3, h) for h in hashes]), k)
    assert distinct.count(items, (3,), np.array([[5]]), k).item() == round(k / ((max(hashes) + 1) / 2**64))
