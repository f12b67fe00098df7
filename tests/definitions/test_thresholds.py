"""Thresholds of quality in a view's tags."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from feast_repos import ROOT, register
from repo_parts import USER, aggregation, view

from streaming.definitions import load, thresholds
from streaming.definitions.thresholds import HIGHEST, PREFIX, Thresholds, of
from streaming.errors import DefinitionError


def test_a_feature_s_own_threshold_comes_before_its_view_s() -> None:
    tags = {"quality.max_null_rate": "0.1", "quality.max_null_rate.a.b": " .5 ", "quality.max_psi.b": "0.25"}
    assert of(tags | {"team": "risk"}, ["a.b", "b", "c"]) == {
        "a.b": Thresholds(0.5, None),
        "b": Thresholds(0.1, 0.25),
        "c": Thresholds(0.1, None),
    }
    assert of({}, ["a"]) == {"a": Thresholds()}


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        ("quality.max_null_rate", "10%", "is not a number from 0 to 1: write one like '0.1'"),
        ("quality.max_null_rate.f", "1.5", "is not a number from 0 to 1"),
        ("quality.max_psi", "-1", "is not a number from 0 to 1000"),
        ("quality.max_psi", "nan", "is not a number"),
        ("quality.max_nulls", "1", "is no threshold: there are quality.max_null_rate and quality.max_psi"),
        ("quality.max_psi.g", "1", "names no feature of the view: take one of f"),
    ],
)
def test_what_cannot_be_meant_is_refused(tag: str, value: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=re.escape(message)):
        of({tag: value}, ["f"])
    store = register(tmp_path, USER, view(aggregation(), tags={tag: value}))
    with pytest.raises(DefinitionError, match=rf"^view v: tag {re.escape(tag)}"):
        thresholds.load(store, load(store))


def test_what_a_day_breaks() -> None:
    rule = Thresholds(0.1, 0.25)
    assert rule.broken(0.1, 0.25) == []
    assert rule.broken(0.2, None) == ["null rate 0.2 above 0.1"]
    assert rule.broken(0.2, 0.3) == ["null rate 0.2 above 0.1", "PSI 0.3 above 0.25"]
    assert Thresholds().broken(1.0, 9.0) == []


def test_every_threshold_is_on_its_page() -> None:
    page = (ROOT / "docs" / "quality.md").read_text()
    listed = {line.split("`")[1] for line in page.splitlines() if line.startswith(f"| `{PREFIX}")}
    assert listed == {PREFIX + name for name in HIGHEST}
