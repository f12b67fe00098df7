"""The ring as bytes: what is written is read back, by later layouts too, and damage is noticed."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_lane import SmallLane, lift, make_view

from streaming import tiles
from streaming.errors import TidemarkError
from streaming.plan import View
from streaming.ring import HEADER, OFFSET, PREFIX, Headers, Offsets, RingCodec

VIEW = make_view((60, 5), (600, 60), k=8)
NUMBERS = make_view((60, 5), (600, 60), functions=("count", "sum", "std", "max"))


def numbers_only(view: View) -> View:
    features = tuple(f for f in view.features if f.column == "amount")
    return replace(view, features=features, slots=tuple(s for s in view.slots if s.column == "amount"))


def headers_of(view: View, entities: int, offsets: Offsets | None = None) -> Headers:
    one = np.arange(entities, dtype=np.int64)
    return Headers(
        np.ones(entities, bool),
        one,
        one.astype(np.uint64),
        one,
        np.full(entities, view.schema_id),
        one,
        offsets or Offsets.none(),
    )


def merged(view: View, rows) -> tiles.Tiles:
    newest = np.array(
        [max((e[0] for i, e in rows if i == entity), default=0) for entity in range(4)], np.int64
    )
    return tiles.merge(view, [lift(view, rows)], newest)


def equal(left: tiles.Tiles, right: tiles.Tiles) -> bool:
    pairs = [(left.entity, right.entity), (left.start, right.start)]
    pairs += [(left.columns[name], right.columns[name]) for name in {*left.columns, *right.columns}]
    pairs += [
        (getattr(left.items, name), getattr(right.items, name))
        for name in ("entity", "start", "slot", "hash")
    ]
    return all(
        a.dtype == b.dtype and a.tolist() == pytest.approx(b.tolist(), rel=0, abs=0, nan_ok=True)
        if a.dtype.kind == "f"
        else a.tolist() == b.tolist()
        for a, b in pairs
    )


values = st.fixed_dictionaries(
    {
        "amount": st.none() | st.floats(),
        "points": st.none() | st.integers(-(2**63), 2**63 - 1),
        "shop": st.none() | st.binary(max_size=12),
    }
)
events = st.tuples(st.integers(0, 2000), st.integers(0, 5), st.integers(0, 10**9), values)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from([0, 1, 3]), events), max_size=25))
def test_tiles_come_back_as_they_were(rows):
    codec = RingCodec(VIEW)
    before = merged(VIEW, rows)
    blobs = codec.encode_tiles(before, 4)
    assert [bool(blob) for blob in blobs] == [entity in before.entity for entity in range(4)]
    headers = headers_of(VIEW, 4)
    after = codec.decode_tiles(headers, blobs)
    assert equal(before, after)
    assert codec.encode_tiles(after, 4) == blobs
    # entity by entity as well, and with None where there is nothing
    for entity, blob in enumerate(blobs):
        alone = codec.decode_tiles(headers_of(VIEW, 1), [blob or None])
        assert codec.encode_tiles(alone, 1) == [blobs[entity]]


offsets = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(0, 2**32 - 1)), st.integers(-1, 2**62), max_size=12
)


@settings(max_examples=100)
@given(
    offsets,
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)),
        min_size=4,
        max_size=4,
    ),
)
def test_headers_come_back_as_they_were(highest, rows):
    codec = RingCodec(VIEW)
    places = sorted(highest)
    table = Offsets(
        *(
            np.array(c, np.int64)
            for c in ([e for e, _ in places], [p for _, p in places], [highest[p] for p in places])
        )
    )
    epoch, identity, number = zip(*rows, strict=True)
    headers = Headers(
        np.ones(4, bool),
        np.array(epoch),
        np.array(identity, np.uint64),
        np.array(number),
        np.array(epoch),
        np.array(number),
        table,
    )
    blobs = codec.encode_headers(headers)
    assert [len(blob) for blob in blobs] == [
        HEADER.itemsize + OFFSET.itemsize * sum(e == i for e, _ in places) for i in range(4)
    ]
    after = codec.decode_headers([blobs[0], None, b"", *blobs[1:]])
    assert after.present.tolist() == [True, False, False, True, True, True]
    rows_of = np.flatnonzero(after.present)
    for name in ("epoch", "identity", "batch", "schema", "newest"):
        assert getattr(after, name)[rows_of].tolist() == getattr(headers, name).tolist()
        assert not getattr(after, name)[[1, 2]].any()
    assert [int(rows_of.tolist().index(e)) for e in after.offsets.entity] == table.entity.tolist()
    assert (after.offsets.partition.tolist(), after.offsets.offset.tolist()) == (
        table.partition.tolist(),
        table.offset.tolist(),
    )


def test_offsets_only_advance():
    old = Offsets(np.array([0, 0, 2]), np.array([1, 3, 0]), np.array([10, 5, 7]))
    new = Offsets(np.array([2, 0, 0, 1, 0]), np.array([0, 3, 1, 0, 3]), np.array([6, 9, 4, 0, 8]))
    after = old.advance(new)
    rows = list(zip(after.entity.tolist(), after.partition.tolist(), after.offset.tolist(), strict=True))
    assert rows == [(0, 1, 10), (0, 3, 9), (1, 0, 0), (2, 0, 7)]


def test_the_fields_are_named_after_the_stored_view():
    codec = RingCodec(replace(VIEW, stored_name="spend@v2"))
    assert codec.fields == (b"_ring:spend@v2", b"_ring:spend@v2:head", b"_ring:spend@v2:tail")


def test_a_ring_of_numbers_is_eight_bytes_a_field():
    view = numbers_only(NUMBERS)  # n, sum, m2, max
    (blob,) = RingCodec(view).encode_tiles(
        merged(view, [(0, (t, 0, t, {"amount": 1.0})) for t in (0, 5, 10)]), 1
    )
    assert len(blob) == PREFIX.itemsize + 3 * 8 * (1 + 4)


def test_hashes_without_their_tile_are_a_mistake_of_the_caller():
    held = merged(VIEW, [(0, event) for _, event in EVENTS[:3]])
    for missing in (held.start != held.start[0], held.start != held.start[-1], held.start < 0):
        with pytest.raises(ValueError, match="a hash has no tile"):
            RingCodec(VIEW).encode_tiles(held.take(missing, np.ones(len(held.items), bool)), 1)


# How a feature list changes: the ring of the old view is read by the new one.

OLD = make_view((60, 5), (600, 60), functions=("count", "sum", "max", "last", "count_distinct"), k=8)
EVENTS = [
    (0, (1000 + i, 0, i, {"amount": float(i), "points": i, "shop": b"shop %d" % (i % 3)}))
    for i in range(0, 400, 7)
]


def changed(view: View, **functions) -> SmallLane:
    """A lane of `view` on the rings that a lane of OLD has left."""
    old = SmallLane(OLD)
    for row in EVENTS[:40]:
        old.feed([row])
    lane = SmallLane(view, schemas={OLD.schema_id: (OLD.distinct_k, OLD.slots)})
    lane.headers, lane.heads, lane.tails, lane.events = old.headers, old.heads, old.tails, old.events
    assert old.heads[0]
    return lane


def test_a_new_function_starts_empty_and_the_old_ones_go_on():
    lane = changed(
        make_view((60, 5), (600, 60), functions=("count", "sum", "max", "last", "count_distinct", "min"), k=8)
    )
    before = SmallLane(OLD)
    before.feed(EVENTS[:40])
    want, got = before.read(before.newest)[0], lane.read(lane.newest)[0]
    assert {name: got[name] for name in want} == want
    assert got["amount_min_600_60"] is None
    for row in EVENTS[40:]:
        lane.feed([row])
    before.feed(EVENTS[40:])
    want, got = before.read(before.newest)[0], lane.read(lane.newest)[0]
    assert {name: got[name] for name in want} == want
    assert got["amount_min_600_60"] == 280.0  # of the events since


def test_a_dropped_function_is_forgotten():
    view = make_view((60, 5), (600, 60), functions=("count", "max"), k=8)
    lane = changed(view)
    before = SmallLane(OLD)
    before.feed(EVENTS[:40])
    got, want = lane.read(lane.newest)[0], before.read(before.newest)[0]
    assert got == {name: want[name] for name in got}
    lane.feed(EVENTS[40:41])
    assert len(lane.tiles().columns) < len(before.tiles().columns)


@pytest.mark.parametrize(("k", "carried"), [(4, True), (8, True), (9, False)])
def test_a_hash_set_is_continued_only_if_it_kept_enough(k, carried):
    lane = changed(replace(OLD, distinct_k=k))
    assert lane.read(lane.newest)[0]["shop_count_distinct_600_60"] == (3 if carried else 0)
    assert lane.read(lane.newest)[0]["shop_last_600_60"] == b"shop 0"


def test_old_and_new_layouts_in_one_chunk():
    old, new = RingCodec(OLD), RingCodec(VIEW, {OLD.schema_id: (OLD.distinct_k, OLD.slots)})
    rows = [(entity, event) for entity in range(4) for _, event in EVENTS[:5]]
    blobs = old.encode_tiles(merged(OLD, rows), 4)
    fresh = new.encode_tiles(merged(VIEW, rows), 4)
    mixed = new.decode_tiles(headers_of(VIEW, 4), [blobs[0], fresh[1], blobs[2], fresh[3]])
    got = tiles.evaluate(VIEW, mixed, np.full(4, 1100))
    assert got.values["amount_sum_600_60"].tolist() == [70.0] * 4
    assert got.values["shop_count_distinct_600_60"].tolist() == [3] * 4
    assert got.valid["amount_min_600_60"].tolist() == [False, True, False, True]


# Damage.

REMEDY = "run `tidemark stream reset --views spend` and then `tidemark rebuild`"


def rings():
    codec = RingCodec(VIEW)
    rows = [(0, event) for _, event in EVENTS[:9]]
    return (
        codec,
        codec.encode_headers(headers_of(VIEW, 1, Offsets(*(np.array([n]) for n in (0, 1, 2)))))[0],
        codec.encode_tiles(merged(VIEW, rows), 1)[0],
    )


def damaged(what):
    return pytest.raises(
        TidemarkError, match=rf"a ring of view spend cannot be read \({what}\): {re.escape(REMEDY)}"
    )


@pytest.mark.parametrize("keep", [1, 7, HEADER.itemsize - 1, HEADER.itemsize + 3])
def test_a_header_cut_short(keep):
    codec, header, _ = rings()
    with damaged("a header (is cut short|has a wrong length)"):
        codec.decode_headers([header, header[:keep]])


def test_a_header_of_a_later_version():
    codec, header, _ = rings()
    with damaged("a header is of an unknown version"):
        codec.decode_headers([b"\x09" + header[1:]])


def test_tiles_without_a_header():
    codec, _, blob = rings()
    with damaged("tiles without a header"):
        codec.decode_tiles(codec.decode_headers([None]), [blob])


def test_tiles_of_a_later_version():
    codec, header, blob = rings()
    with damaged("tiles are of an unknown version"):
        codec.decode_tiles(codec.decode_headers([header]), [blob[:7] + b"\x09" + blob[8:]])


def test_tiles_of_an_unknown_layout():
    codec, header, _ = rings()
    blob = RingCodec(OLD).encode_tiles(merged(OLD, EVENTS[:3]), 1)[0]
    with damaged(f"layout {OLD.schema_id} is unknown"):
        codec.decode_tiles(codec.decode_headers([header]), [blob])


def test_tiles_cut_anywhere_or_too_long():
    codec, header, blob = rings()
    headers = codec.decode_headers([header])
    for keep in range(1, len(blob)):
        with damaged("a blob of tiles (is cut short|has a wrong length)"):
            codec.decode_tiles(headers, [blob[:keep]])
    with damaged("a blob of tiles has a wrong length"):
        codec.decode_tiles(headers, [blob + b"\x00"])


@settings(max_examples=300)
@given(st.data())
def test_any_damage_is_read_or_refused_with_the_remedy(data):
    codec, header, blob = rings()
    place = data.draw(st.integers(0, len(blob) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=8))
    noisy = blob[:place] + noise + blob[place + len(noise) :]
    message = REMEDY
    try:
        codec.decode_tiles(codec.decode_headers([header]), [noisy])
    except TidemarkError as error:
        message = str(error)
    assert REMEDY in message
    assert "\n" not in message
