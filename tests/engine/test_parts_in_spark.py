"""Spark's partial aggregates of a tile are what lifting and merging its events one by one gives."""

import numpy as np
import pyarrow as pa
import pytest
from small_lane import COLUMNS, is_value, lift, make_view

from streaming import parts, tiles
from streaming.distinct import Items
from streaming.parts import PARTS

EVENTS, ENTITIES, NEWEST = 3_000, 5, 1_999_999


def random_events(rng):
    """(entity, event) rows: nulls, NaN, infinities, the largest integer, empty and accented texts."""
    amounts = [None, float("nan"), float("inf"), 0.0, 1e8, *rng.normal(0, 50, 40).tolist()]
    points = [None, 2**63 - 1, *range(-20, 20)]
    shops = [None, b"", "é".encode(), *(b"shop %d" % i for i in range(30))]
    rows = []
    for offset in range(EVENTS):
        a, p, s = (int(rng.integers(0, len(choice))) for choice in (amounts, points, shops))
        values = {"amount": amounts[a], "points": points[p], "shop": shops[s]}
        time = NEWEST - int(rng.integers(0, 20_000))
        rows.append((int(rng.integers(0, ENTITIES)), (time, int(rng.integers(0, 4)), offset, values)))
    return rows


def table_of(rows):
    def column(pick, type_):
        return pa.array([pick(entity, event) for entity, event in rows], type_)

    def value(name):
        return lambda _, event: event[3][name] if is_value(event[3][name]) else None

    return pa.table(
        {
            "entity": column(lambda entity, _: entity, pa.int64()),
            "time": column(lambda _, event: event[0] * 1000, pa.int64()),
            "partition": column(lambda _, event: event[1], pa.int32()),
            "offset": column(lambda _, event: event[2], pa.int64()),
            "amount": column(value("amount"), pa.float64()),
            "points": column(value("points"), pa.int64()),
            "shop": pa.array([value("shop")(0, event) for _, event in rows], pa.binary()).cast(pa.string()),
        }
    )


def from_spark(view, frame):
    """The tiles of the aggregated table."""
    columns, items = {}, []
    entity, start = (frame.column(name).to_numpy() for name in ("entity", "start"))
    for index, slot in enumerate(view.slots):
        if slot.part == "distinct":
            lists = frame.column(slot.name)
            sizes = np.array([len(hashes) for hashes in lists])
            hashes = np.array([h for hashes in lists.to_pylist() for h in hashes], np.int64)
            number = np.full(len(hashes), index, np.uint16)
            items.append(
                Items(np.repeat(entity, sizes), np.repeat(start, sizes), number, hashes.view(np.uint64))
            )
        for field in PARTS[slot.part].fields(slot):
            if field.name in frame.column_names:
                held = [field.empty if v is None else v for v in frame.column(field.name).to_pylist()]
                if field.dtype == parts.TEXT:
                    held = [v.encode() if isinstance(v, str) else v for v in held]
                columns[field.name] = np.empty(len(held), field.dtype)
                columns[field.name][:] = held
        if f"{slot.name}.ord" in frame.column_names:
            order = frame.column(f"{slot.name}.ord").combine_chunks()
            halves = parts.split_order(np.frombuffer(order.buffers()[1], np.int64)[: 2 * len(order)])
            null = order.is_null().to_numpy(zero_copy_only=False)
            for field, half in zip(PARTS[slot.part].fields(slot)[1:], halves, strict=True):
                columns[field.name] = np.where(null, np.array(field.empty, half.dtype), half)
    return tiles.Tiles(entity, start, columns, tiles.distinct.concat(items))


@pytest.fixture(scope="module")
def both(spark):
    """Tiles of the same events: merged from Spark's partials, and from the events one by one."""
    view = make_view((5_000, 500), (20_000, 4_000), k=64)
    rows = random_events(np.random.default_rng(11))
    order = parts.order_sql("time", "partition", "offset")
    sql = {
        f"{slot.name}{suffix}": text
        for slot in view.slots
        for suffix, text in PARTS[slot.part].spark(slot.column, order).items()
    }
    spark.createDataFrame(table_of(rows)).createOrReplaceTempView("parts_events")
    selected = ", ".join(f"{text} AS `{name}`" for name, text in sql.items())
    start = f"(time DIV 1000 - pmod(time DIV 1000, {view.base}))"
    frame = spark.sql(
        f"SELECT entity, {start} AS start, {selected} FROM parts_events GROUP BY 1, 2"
    ).toArrow()
    newest = np.full(ENTITIES, NEWEST)
    partials = from_spark(view, frame)
    assert len(partials) < EVENTS / 4
    return view, tiles.merge(view, [partials], newest), tiles.merge(view, [lift(view, rows)], newest)


def test_every_part_is_the_same(both):
    view, spark_tiles, lifted = both
    assert spark_tiles.entity.tolist() == lifted.entity.tolist()
    assert spark_tiles.start.tolist() == lifted.start.tolist()
    for field in parts.fields(view.slots):
        got, want = spark_tiles.columns[field.name], lifted.columns[field.name]
        if field.name.endswith((":sum", ":m2")):
            np.testing.assert_allclose(got, want, rtol=1e-9, err_msg=field.name)
        elif field.dtype == np.float64:
            np.testing.assert_array_equal(got, want, err_msg=field.name)
        else:
            assert got.tolist() == want.tolist(), field.name


@pytest.mark.parametrize("column", COLUMNS)
def test_distinct_values_are_as_many(both, column):
    # The tests hash with another function than Spark's: only how many there are can be compared.
    view, spark_tiles, lifted = both
    at = np.full(ENTITIES, NEWEST)
    got, want = (tiles.evaluate(view, held, at) for held in (spark_tiles, lifted))
    for window in view.windows:
        name = f"{column}_count_distinct_{window.length}_{window.slide}"
        assert got.values[name].tolist() == want.values[name].tolist()
        assert got.values[name].min() > 20
