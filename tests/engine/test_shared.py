"""Subexpressions that SQL expressions have in common."""

from __future__ import annotations

import pytest

from streaming.shared import SHORTEST, Shared

PART = "coalesce((source_0.`first` - 50.0D) / 20.0D, source_0.`second`)"
OTHER = "coalesce((source_0.`third` - 50.0D) / 20.0D, source_0.`fourth`)"


def of(*texts: str) -> Shared:
    return Shared.of(texts, "_s", "source_0")


def test_what_is_written_twice_gets_a_name() -> None:
    found = of(f"{PART} * {PART}", f"{PART} + {OTHER} * {OTHER}")
    assert found.held == {"_s0": PART, "_s1": OTHER}
    assert found.rest == {
        f"{PART} * {PART}": "_s0 * _s0",
        f"{PART} + {OTHER} * {OTHER}": "_s0 + _s1 * _s1",
    }


def test_a_part_that_is_needed_elsewhere_too_is_what_is_shared() -> None:
    tested = f"({PART} IS NOT NULL)"
    first, second = f"CASE WHEN {tested} THEN {PART} END", f"CASE WHEN {tested} THEN 1 END"
    assert of(first, second).held == {"_s0": PART}


def test_a_whole_is_shared_where_its_parts_are_not_needed_alone() -> None:
    whole = f"abs({PART} - {OTHER})"
    assert of(f"{whole} * 2", f"{whole} * 3").held == {"_s0": whole}


@pytest.mark.parametrize(
    "texts",
    [
        (PART, OTHER),
        (f"{PART} * source_0.`third`", f"{PART} * 2 * source_0.`third`"),
        (f"transform(source_0.`list`, x -> {PART} * {PART})",),
        ("length('coalesce(source_0, source_0, source_0, source_0)')",) * 2,
        ("abs(source_0.`a`)", "abs(source_0.`a`) * 2"),
    ],
    ids=["nothing in common", "columns of the event besides", "lambda", "text in quotes", "short"],
)
def test_what_is_left_alone(texts: tuple[str, ...]) -> None:
    found = of(*texts)
    assert not found.held
    assert not found.rest


def test_brackets_in_quotes_are_no_brackets() -> None:
    group = f"coalesce(source_0.`a)(`['it\\'s ('], {'0.' + '0' * SHORTEST})"
    assert of(f"{group} * 1", f"{group} * 2").held == {"_s0": group}


def test_a_list_is_no_expression() -> None:
    asked = PART.replace("first", "fifth")
    found = of(f"({asked} IN ({PART}, {OTHER}))", f"(NOT ({asked} IN ({PART}, {OTHER})))")
    assert set(found.held.values()) == {f"({asked} IN ({PART}, {OTHER}))"}
    found = of(f"{asked} IN ({PART}, {OTHER})", f"NOT {asked} IN ({PART}, {OTHER})")
    assert set(found.held.values()) == {asked, PART, OTHER}
