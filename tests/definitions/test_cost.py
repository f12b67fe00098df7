"""The cost that `tidemark plan` prints, against rings as they are written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming import tiles
from streaming.aggregates import aggregate
from streaming.definitions.cost import (
    CostSettings,
    check,
    hash_bytes,
    tile_bytes,
    worst_case_bytes,
    worst_case_tiles,
)
from streaming.errors import DefinitionError
from streaming.parts import Values, order_key
from streaming.plan import Feature, Kind, View, Window
from streaming.ring import RingCodec

FUNCTIONS: list[tuple[str, str, Kind]] = [
    ("count", "", "i64"),
    ("std", "x", "f64"),
    ("max", "x", "f64"),
    ("count_distinct", "x", "f64"),
    ("last", "t", "str"),
    ("min", "t", "str"),
]


def view(*windows: tuple[int, int], functions: list[tuple[str, str, Kind]] = FUNCTIONS, k: int = 4) -> View:
    features, slots = [], {}
    for length, slide in windows:
        for name, column, kind in functions:
            features.append(Feature(f"{name}{length}", name, column, Window(length, slide), "DOUBLE"))
            slots |= dict.fromkeys(aggregate(name).slots(column, kind))
    return View("v", "v", "p", "s", (("id", "STRING"),), tuple(features), tuple(slots), distinct_k=k)


WINDOWS = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 5, 6, 10, 15]), st.integers(1, 12)), min_size=1, max_size=4
).map(lambda held: [(slide * steps * 1000, slide * 1000) for slide, steps in held])


@settings(max_examples=60)
@given(WINDOWS, st.integers(0, 10**6))
def test_no_ring_has_more_tiles(windows: list[tuple[int, int]], newest: int) -> None:
    held = view(*windows)
    starts = np.arange(newest - max(w.length for w in held.windows) - 1000, newest + 1, 500)
    alignment = tiles.alignment(held, starts, np.full(len(starts), newest))
    kept = alignment > 0
    found = len(np.unique(starts[kept] // alignment[kept] * alignment[kept]))
    assert found <= worst_case_tiles(held) - tiles.FOLD_SLACK
    assert found >= (worst_case_tiles(held) - tiles.FOLD_SLACK) / 2 - 2 * len(windows)


def ring(held: View, times: np.ndarray, newest: int) -> bytes:
    """The ring of an entity with an event at each of `times`, each with another value and a long text."""
    hashes = np.random.default_rng(1).integers(0, 2**64, len(times), np.uint64)
    text, every = np.array([b"x" * 60] * len(times), object), np.ones(len(times), bool)
    lifted = tiles.lift(
        held,
        np.zeros(len(times), np.int64),
        times,
        order_key(times * 1000, times * 0, times),
        {"x": Values(times.astype(float), every), "t": Values(text, every)},
        {"x": hashes},
    )
    (blob,) = RingCodec(held).encode_tiles(tiles.merge(held, [lifted], np.array([newest])), 1)
    return blob


def test_no_ring_has_more_bytes() -> None:
    held = view(
        (60_000, 5_000), (600_000, 30_000), functions=[f for f in FUNCTIONS if f[0] != "count_distinct"]
    )
    blob = ring(held, np.arange(0, 700_001, 500), 700_000)
    full = worst_case_bytes(held) - tiles.FOLD_SLACK * tile_bytes(held)
    assert 0.85 * full <= len(blob) <= full


@pytest.mark.parametrize("k", [4, 64])
def test_no_ring_has_more_hashes(k: int) -> None:
    held = view((60_000, 5_000), (600_000, 30_000), functions=[("count_distinct", "x", "f64")], k=k)
    events = 200_000
    blob = ring(held, np.sort(np.arange(events) * 3 % 700_000), 700_000)
    assert hash_bytes(held) / 4 <= len(blob) <= worst_case_bytes(held)


def test_hashes_are_part_of_the_cost() -> None:
    small, large = view((60_000, 5_000), k=8), view((60_000, 5_000), k=4096)
    assert hash_bytes(large) > 100 * hash_bytes(small)
    with pytest.raises(
        DefinitionError, match=r"view v: a ring could take .*, above the cap of 100,000: use longer slides"
    ):
        check(large, CostSettings(max_ring_bytes=100_000))
    check(small, CostSettings(max_ring_bytes=100_000))


def test_a_shorter_window_of_the_same_slide_costs_next_to_nothing() -> None:
    one, two = view((60_000, 5_000)), view((60_000, 5_000), (30_000, 5_000))
    assert worst_case_tiles(two) == worst_case_tiles(one) + 1
