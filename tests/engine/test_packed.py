"""Rings as the scoring lane holds them: packed, appended to, shared between the events that see them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_lane import lift, make_view

from serving.scoring import moments
from serving.scoring.held import SLACK, Memory, Rings
from serving.scoring.packed import Packing
from streaming import evaluation, tiles

VIEW = make_view((60, 5), (600, 60), k=8)
ENTITIES = 3
NEWEST = 2_000

amounts = st.none() | st.floats(-1e6, 1e6) | st.just(math.inf)
values = st.fixed_dictionaries(
    {
        "amount": amounts,
        "points": st.none() | st.integers(-(2**63), 2**63 - 1),
        "shop": st.none() | st.binary(max_size=9),
    }
)
events = st.tuples(st.integers(0, NEWEST), st.integers(0, 3), st.integers(0, 10**9), values)
rows = st.lists(st.tuples(st.integers(0, ENTITIES - 1), events), max_size=20)


def features(
    held: tiles.Tiles, at: int = NEWEST, shared: evaluation.Shared | None = None, count: int = ENTITIES
):
    """Values by feature, None where null; numbers that were added up in another order as close as they must be."""
    found = tiles.Evaluator(VIEW)(held, np.full(count, at), shared)
    shown = {}
    for name, column in found.values.items():
        pairs = zip(column.tolist(), found.valid[name].tolist(), strict=True)
        shown[name] = [value if ok else None for value, ok in pairs]
    return shown


def same(left: dict, right: dict) -> bool:
    return all(
        a == b or (isinstance(a, float) and b == pytest.approx(a, rel=1e-9, abs=1e-6))
        for name in left
        for a, b in zip(left[name], right[name], strict=True)
    )


@given(rows, rows)
def test_what_is_packed_and_appended_to_is_what_all_tiles_are(first, second):
    packing = Packing(VIEW)
    one, two = (packing.pack(lift(VIEW, held), ENTITIES) for held in (first, second))
    joined = packing.unpack([a.joined(b) for a, b in zip(one, two, strict=True)])
    assert (np.diff(joined.entity) >= 0).all()
    assert same(features(lift(VIEW, [*first, *second])), features(joined))
    packed = packing.pack(joined, ENTITIES)
    assert packing.pack(packing.unpack(packed), ENTITIES) == packed
    assert sum(p.size for p in packed) == sum(p.size for p in (*one, *two))


@pytest.mark.parametrize("above", [evaluation.COMPACT_ABOVE, 0])
@given(held=rows, new=st.lists(st.tuples(st.integers(0, ENTITIES - 1), events), min_size=1, max_size=8))
def test_every_event_sees_its_ring_and_what_came_before_it(above, held, new):
    # ring of an entity:  held held | event 0 | event 2      event 2 sees: held held, event 0, event 2
    rings = Packing(VIEW).unpack(Packing(VIEW).pack(lift(VIEW, held), ENTITIES))
    own = lift(VIEW, [(number, event) for number, (_, event) in enumerate(new)])
    entity = np.array([e for e, _ in new])
    newest = np.full(ENTITIES, NEWEST)
    for sees, earlier in ((moments.in_turn, True), (moments.alone, False)):
        sight = sees(entity, np.array([event[0] for _, event in new]), np.ones(len(new), bool), newest)
        shared = moments.seen(rings, own.items, sight, ENTITIES)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(evaluation, "COMPACT_ABOVE", above)
            got = features(moments.together(rings, own), shared=shared, count=len(new))
        for number, (e, event) in enumerate(new):
            before = [(0, other) for o, other in new[:number] if o == e] if earlier else []
            mine = [(0, other) for o, other in held if o == e]
            wanted = features(lift(VIEW, [*mine, *before, (0, event)]), count=1)
            assert same(wanted, {name: column[number : number + 1] for name, column in got.items()})


def test_a_ring_that_has_grown_is_merged_and_its_features_stay():
    memory = Memory(VIEW, {}, 1 << 20)
    nothing = lift(VIEW, [])
    memory.load([b"a", b"b"], Rings(np.array([0, 0]), [{}, {}], nothing), 0, whole=True)
    fed = [
        (0, (NEWEST - 40 + i % 7, 0, i, {"amount": float(i), "points": i, "shop": b"s%d" % (i % 3)}))
        for i in range(90)
    ]
    sizes = []
    for number, (_, event) in enumerate(fed):
        (tile,) = memory.packing.pack(lift(VIEW, [(0, event)]), 1)
        memory.append(b"a", event[0], 0, number, tile)
        memory.settle([b"a", b"b"])
        one = memory.get(b"a")
        assert one is not None
        sizes.append(len(one.tiles.tiles) // memory.packing.width)
    assert max(sizes) <= 2 * 7 + SLACK
    assert one.newest == NEWEST - 34
    assert one.offsets == {0: 89}
    held = memory.rings([one]).tiles
    assert same(features(lift(VIEW, fed), count=1), features(held, count=1))
    assert memory.size == sum(memory.get(key).tiles.size + 400 for key in (b"a", b"b"))
