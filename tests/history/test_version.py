"""The version of a definition changes with what is computed, and with nothing else."""

from dataclasses import replace

import pytest
from small_lane import make_view

from streaming.history.version import definition
from streaming.plan import Plan, Source, Window

SOURCES = tuple(Source(name, name, "localhost:9092", "json", "{}", "at") for name in ("a", "orders", "z"))


def plan(view, names=("orders",)):
    return Plan("shop", tuple(s for s in SOURCES if s.name in names), (view,))


def compiled(number=0):
    view = make_view((60, 5), functions=("sum", "max"))
    struct = f"source_{number}"
    return replace(
        view,
        keys=(("user_id", f"{struct}.`user_id`"),),
        columns=(("amount", f"{struct}.`amount` * 2"),),
        timestamp=f"{struct}.`at`",
        condition=f"{struct}.`amount` > 0",
    )


def test_names_and_neighbours_do_not_matter():
    view = compiled()
    mine = definition(plan(view), view)
    assert len(mine) == 16
    renamed = replace(view, name="other", stored_name="other_v2", project="another", expiry=5)
    assert definition(plan(renamed), renamed) == mine
    # With another source before its own the struct has another number.
    moved = compiled(1)
    assert definition(plan(moved, ("a", "orders")), moved) == mine


@pytest.mark.parametrize(
    "change",
    [
        {"columns": (("amount", "source_0.`amount` * 3"),)},
        {"condition": ""},
        {"keys": (("user_id", "lower(source_0.`user_id`)"),)},
        {"timestamp": "source_0.`paid_at`"},
        {"distinct_k": 65},
        {"features": compiled().features[1:]},
        {"features": tuple(replace(f, window=Window(120, 5)) for f in compiled().features)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_number_changes_it(change):
    view, other = compiled(), replace(compiled(), **change)
    assert definition(plan(view), view) != definition(plan(other), other)
