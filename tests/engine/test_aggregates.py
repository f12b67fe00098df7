"""The functions themselves: what each is of nothing, of one and of many, and how exact."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_lane import COLUMNS, SmallLane, make_view

from streaming.aggregates import AGGREGATES, ALIASES, aggregate, part
from streaming.errors import DefinitionError
from streaming.parts import PARTS, Groups, order_key
from streaming.plan import Kind, PartName, Slot
from streaming.table import Table, schema

WINDOW = (1000, 100)


def values_of(column, values, chunks=1):
    """All functions over `values`, one event a millisecond from 1900 on, fed in `chunks` batches."""
    lane = SmallLane(make_view(WINDOW))
    rows = [(0, (1900 + i, 0, i, {column: value})) for i, value in enumerate(values)]
    for chunk in range(chunks):
        lane.feed(rows[chunk::chunks])
    read = lane.read([1900 + len(values)])[0]
    return {
        name: read[f"{column}_{name}_1000_100"] for name in AGGREGATES if f"{column}_{name}_1000_100" in read
    }


@pytest.mark.parametrize("column", COLUMNS)
def test_of_nothing_but_nulls(column):
    got = values_of(column, [None, None])
    assert got.pop("count") == 0
    assert got.pop("count_distinct") == 0
    if column != "shop":
        assert got.pop("sum") == 0.0
    assert set(got.values()) == {None}


def test_of_one_value():
    got = values_of("amount", [None, 3.5, None])
    assert (got["std"], got["var"]) == (None, None)
    assert (got["std_pop"], got["var_pop"]) == (0.0, 0.0)
    assert {got[name] for name in ("sum", "mean", "min", "max", "first", "last")} == {3.5}
    assert got["count"] == got["count_distinct"] == 1


def test_of_several_values():
    numbers = [4.0, 1.0, 7.5, 1.0]
    got = values_of("amount", numbers, chunks=2)
    assert got["std"] == pytest.approx(statistics.stdev(numbers), rel=1e-12)
    assert got["var"] == pytest.approx(statistics.variance(numbers), rel=1e-12)
    assert got["std_pop"] == pytest.approx(statistics.pstdev(numbers), rel=1e-12)
    assert got["var_pop"] == pytest.approx(statistics.pvariance(numbers), rel=1e-12)
    assert [got[n] for n in ("count", "count_distinct", "min", "max", "first", "last")] == [
        4,
        3,
        1.0,
        7.5,
        4.0,
        1.0,
    ]


def test_nan_and_infinity_are_nulls():
    got = values_of("amount", [float("nan"), 2.0, float("inf"), -float("inf"), 4.0])
    assert (got["count"], got["sum"], got["mean"], got["min"], got["max"]) == (2, 6.0, 3.0, 2.0, 4.0)
    assert (got["first"], got["last"], got["count_distinct"]) == (2.0, 4.0, 2)


def test_a_sum_that_overflows_is_null_and_never_infinite():
    got = values_of("amount", [1e308, 1e308, -1.0])
    assert (got["sum"], got["mean"], got["std"], got["var_pop"]) == (None, None, None, None)
    assert (got["min"], got["max"], got["count"]) == (-1.0, 1e308, 3)


def test_an_overflow_leaves_with_its_tile():
    lane = SmallLane(make_view((100, 100), (1000, 100)))
    rows = [(1000, 1e308), (1001, 1e308), (1500, 2.0), (1501, 4.0)]
    lane.feed([(0, (t, 0, i, {"amount": x})) for i, (t, x) in enumerate(rows)])
    got = lane.read([1550])[0]
    assert (got["amount_sum_1000_100"], got["amount_sum_100_100"]) == (None, 6.0)
    assert lane.read([2100])[0]["amount_sum_1000_100"] == 6.0


def test_one_entity_does_not_round_anothers_sum():
    lane = SmallLane(make_view(WINDOW), entities=2)
    huge = [(0, (1000, 0, 0, {"amount": 1e16}))]
    lane.feed(huge + [(1, (1000 + i, 0, i + 1, {"amount": x})) for i, x in enumerate([1.0, 1.01, 1.0])])
    assert lane.read(lane.newest)[1]["amount_sum_1000_100"] == pytest.approx(3.01, rel=1e-15)


def test_integers_keep_their_type_and_range():
    top, bottom = 2**63 - 1, -(2**63)
    assert values_of("points", [top])["min"] == top
    assert values_of("points", [bottom])["max"] == bottom
    got = values_of("points", [2**53 + 1, None, 2**53])
    assert (got["max"], got["first"], got["last"]) == (2**53 + 1, 2**53 + 1, 2**53)
    assert isinstance(got["max"], np.int64)
    assert isinstance(got["sum"], np.float64)


def test_text_compares_by_bytes_and_may_be_empty():
    got = values_of("shop", [b"b", b"", None, "é".encode(), b"b\x00"], chunks=3)
    assert (got["min"], got["max"], got["first"], got["last"]) == (b"", "é".encode(), b"b", b"b\x00")
    assert (got["count"], got["count_distinct"]) == (4, 4)
    assert "sum" not in got


def test_first_and_last_order_by_time_then_partition_then_offset():
    # time, partition, offset -> value; fed in the order written
    events = [(1000, 2, 5, 1.0), (1000, 1, 900, 2.0), (1000, 2, 4, 3.0), (999, 9, 9, 4.0), (1000, 2, 6, None)]
    for order in (events, events[::-1], events[2:] + events[:2]):
        lane = SmallLane(make_view(WINDOW))
        for time, partition, offset, value in order:
            lane.feed([(0, (time, partition, offset, {"amount": value}))])
        got = lane.read([1000])[0]
        assert (got["amount_first_1000_100"], got["amount_last_1000_100"]) == (4.0, 1.0)


places = st.tuples(st.integers(-(10**15), 4 * 10**15), st.integers(0, 10**4), st.integers(0, 10**13))


@settings(max_examples=100)
@given(st.lists(places, min_size=1, max_size=20))
def test_order_keys_sort_as_their_events(events):
    time, partition, offset = (np.array(column, np.int64) for column in zip(*events, strict=True))
    high, low = order_key(time, partition, offset)
    numbers = [int(h) << 64 | int(n) for h, n in zip(high, low, strict=True)]
    assert numbers == [t * 10**19 + p * 10**14 + o for t, p, o in events]
    assert [events[i] for i in np.lexsort((low, high))] == sorted(events)


def m2_slots():
    return [Slot("n", "x", "f64"), Slot("sum", "x", "f64"), Slot("m2", "x", "f64")]


def columns_of(groups):
    """n, sum and m2 of lists of numbers, as two passes give them."""
    sizes = [len(g) for g in groups]
    sums = [math.fsum(g) for g in groups]
    squares = [math.fsum((x - math.fsum(g) / len(g)) ** 2 for x in g) if g else 0.0 for g in groups]
    return {"x:n": np.array(sizes), "x:sum": np.array(sums), "x:m2": np.array(squares)}


def merged_of(slots, columns, rows):
    """All rows of these columns merged into one."""
    return Table.of(schema(tuple(slots)), columns, rows).reduce(Groups(np.array([0]), rows))


def test_squares_at_large_magnitudes():
    # Sums of squares would be 1e20 with a spacing of 16,384: nothing of a variance of 100 is left.
    rng = np.random.default_rng(3)
    numbers = (1e8 + rng.normal(0, 10, 800)).tolist()
    got = values_of("amount", numbers, chunks=7)
    exact = statistics.variance([x - 1e8 for x in numbers])
    assert got["var"] == pytest.approx(exact, rel=1e-9)
    assert got["std"] == pytest.approx(math.sqrt(exact), rel=1e-9)


@pytest.mark.parametrize(
    ("mean", "spread", "error"), [(1e8, 100, 1e-9), (1e8, 1, 1e-7), (1e6, 1, 1e-9), (-1e12, 1e6, 1e-9)]
)
def test_squares_lose_only_the_rounding_of_the_mean(mean, spread, error):
    rng = np.random.default_rng(4)
    numbers = (mean + rng.normal(0, spread, 1000)).tolist()
    groups = [numbers[i : i + 3] for i in range(0, 1000, 3)]
    merged = merged_of(m2_slots(), columns_of(groups), len(groups))
    assert merged["x:m2"][0] == pytest.approx(
        999 * statistics.variance([x - mean for x in numbers]), rel=error
    )


@settings(max_examples=100)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=5), min_size=1, max_size=8))
def test_grouped_chan_is_two_passes_over_all(groups):
    merged = merged_of(m2_slots(), columns_of(groups), len(groups))
    whole = columns_of([[x for g in groups for x in g]])
    scale = max((abs(x) for g in groups for x in g), default=0)
    assert merged["x:n"] == whole["x:n"]
    assert merged["x:m2"][0] == pytest.approx(whole["x:m2"][0], rel=1e-9, abs=1e-15 * (scale**2 + 1))


def test_empty_tiles_change_nothing():
    names: tuple[PartName, ...] = ("rows", "n", "sum", "m2", "min", "max", "first", "last", "distinct")
    kinds: tuple[Kind, ...] = ("f64", "i64", "str")
    assert set(names) == set(PARTS)
    for name in names:
        for kind in kinds:
            slot = Slot(name, "x", kind)
            empty = {f.name: np.full(3, f.empty, f.dtype) for f in PARTS[name].fields(slot)}
            slots = m2_slots() if name == "m2" else [slot]
            if name == "m2":
                empty |= {"x:n": np.zeros(3, int), "x:sum": np.zeros(3)}
            merged = merged_of(slots, empty, 3)
            for field in PARTS[name].fields(slot):
                got = merged[field.name][0]
                assert got == field.empty or (got != got and field.empty != field.empty), (name, kind)


def test_names_and_aliases():
    assert {alias: aggregate(alias).name for alias in ALIASES} == {
        "avg": "mean",
        "stddev": "std",
        "variance": "var",
    }
    assert aggregate(" Count_Distinct ").name == "count_distinct"
    assert part("m2") is PARTS["m2"]


def test_an_unknown_function_names_the_known_ones():
    with pytest.raises(
        DefinitionError, match=r"unknown aggregation function 'median': use one of avg, count, .*var_pop"
    ):
        aggregate("median")


def test_a_sum_of_text_is_refused():
    with pytest.raises(DefinitionError, match="sum of shop is not defined, it holds text: use count"):
        aggregate("sum").slots("shop", "str")


def test_only_count_may_do_without_a_column():
    assert aggregate("count").slots("", "i64") == (Slot("rows", "", "i64"),)
    with pytest.raises(DefinitionError, match="mean needs a column"):
        aggregate("avg").slots("", "f64")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("count", "iii"), ("mean", "fff"), ("max", "fis"), ("last", "fis"), ("count_distinct", "iii")],
)
def test_result_kinds(name, kinds):
    got = [aggregate(name).result(kind) for kind in ("f64", "i64", "str")]
    assert got == [{"f": "f64", "i": "i64", "s": "str"}[k] for k in kinds]
