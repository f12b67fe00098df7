"""Tables: columns by name over one matrix, whatever is taken, joined or merged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.parts import Groups
from streaming.plan import Slot
from streaming.table import Table, schema

SLOTS = (
    Slot("last", "shop", "str"),
    Slot("sum", "amount", "f64"),
    Slot("max", "points", "i64"),
    Slot("n", "amount", "f64"),
    Slot("m2", "amount", "f64"),
    Slot("min", "amount", "f64"),
    Slot("rows", "", "i64"),
    Slot("max", "shop", "str"),
)


def table(rows: list[tuple[float, int, bytes | None]]) -> Table:
    """A row for each of (amount, points, shop)."""
    amount, points, shop = (
        np.array(c) for c in ([r[0] for r in rows], [r[1] for r in rows], range(len(rows)))
    )
    texts = np.array([*(r[2] for r in rows), None], object)[:-1]
    ones, zeros = np.ones(len(rows), int), np.zeros(len(rows))
    given = {"amount:sum": amount, "amount:n": ones, "amount:m2": zeros, "amount:min": amount}
    given |= {"points:max": points, ":rows": ones, "shop:max": texts, "shop:last": texts}
    given |= {"shop:last.hi": np.zeros(len(rows), int), "shop:last.lo": shop.astype("u8")}
    return Table.of(schema(SLOTS), given, len(rows))


ROWS = st.tuples(st.floats(-1e6, 1e6), st.integers(-(2**62), 2**62), st.sampled_from([b"a", b"b", None]))


@given(st.lists(ROWS, min_size=1, max_size=12), st.integers(1, 12))
def test_merged_in_two_steps_or_one(rows, cut):
    whole = table(rows).reduce(Groups(np.array([0]), len(rows)))
    halves = [part for part in (rows[:cut], rows[cut:]) if part]
    places = [np.arange(len(rows))[:cut], np.arange(len(rows))[cut:]]
    merged = Table.joined(
        [table(rows).take(place).reduce(Groups(np.array([0]), len(place))) for place in places if len(place)]
    )
    assert merged.rows == len(halves)
    again = merged.reduce(Groups(np.array([0]), merged.rows))
    assert list(again) == list(whole)
    for name in whole:
        if name in ("amount:sum", "amount:m2"):
            scale = max(abs(r[0]) for r in rows)
            assert again[name][0] == pytest.approx(whole[name][0], rel=1e-9, abs=1e-9 * (scale**2 + 1))
        else:
            assert again[name][0] == whole[name][0]


@given(st.lists(ROWS, min_size=1, max_size=8))
def test_a_row_taken_is_the_row_and_what_is_spread_is_empty_elsewhere(rows):
    held = table(rows)
    mask = np.arange(len(rows)) % 2 == 0
    for name in held:
        np.testing.assert_array_equal(held.take(mask)[name], held[name][mask])
    spread = held.spread(np.arange(len(rows)) * 2, 2 * len(rows))
    empty = Table.of(schema(SLOTS), {}, len(rows))
    for name in held:
        np.testing.assert_array_equal(spread[name][::2], held[name])
        np.testing.assert_array_equal(spread[name][1::2], empty[name])


def test_another_schema_lacks_nothing_and_has_nothing_more():
    held = table([(2.5, 3, b"a")])
    other = held.of_schema(schema((Slot("sum", "amount", "f64"), Slot("min", "points", "i64"))))
    assert set(other) == {"amount:sum", "points:min"}
    assert other["amount:sum"][0] == 2.5
    assert other["points:min"][0] == np.iinfo("i8").max
    assert "amount:n" not in other
    with pytest.raises(KeyError):
        other["amount:n"]
