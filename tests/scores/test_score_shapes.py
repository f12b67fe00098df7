"""What all scores have in common: any kind of column, one row or many, nulls anywhere, no label among the inputs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast_repos import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from score_rows import CLAIM, DOMAINS, NOON, PAYMENT, READING, columns

from feature_repo.scores import claims, iot, patterns, transactions
from feature_repo.scores.composite import Composite
from feature_repo.scores.inputs import moments, numbers
from generators.contracts import STREAMS
from generators.schema import field_names

COMPOSITES = {"claims": claims.COMPOSITE, "transactions": transactions.COMPOSITE, "iot": iot.COMPOSITE}


def values(neutral: Any) -> st.SearchStrategy[Any]:
    """Anything of the kind of a neutral value, or null."""
    if isinstance(neutral, bool):
        kind: st.SearchStrategy[Any] = st.booleans()
    elif isinstance(neutral, datetime):
        kind = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)).map(lambda d: d.replace(tzinfo=UTC))  # noqa: DTZ001
    elif isinstance(neutral, str):
        kind = st.sampled_from(["low", "critical"])
    elif isinstance(neutral, dict):
        kind = st.fixed_dictionaries(
            {"pressure": st.floats(0, 2e3), "flow_rate": st.none() | st.floats(0, 90)}
        )
    elif isinstance(neutral, int):
        kind = st.integers(0, 12)
    else:
        kind = st.floats(0, 1_000)
    return st.none() | kind


@pytest.mark.parametrize("domain", DOMAINS)
@settings(max_examples=25)
@given(data=st.data())
def test_many_rows_are_as_each_row_alone(domain: str, data: st.DataObject) -> None:
    module, neutral = DOMAINS[domain]
    row = st.fixed_dictionaries({name: values(value) for name, value in neutral.items()})
    rows = data.draw(st.lists(row, min_size=2, max_size=5))
    together = columns(neutral, *rows)
    found = module.score(together, together)
    assert module.OUTPUTS.keys() <= found.keys()
    for place, held in enumerate(rows):
        alone = columns(neutral, held)
        for name, values_ in module.score(alone, alone).items():
            one, many = values_[0], found[name][place]
            assert one == many or (one != one and many != many), name


@pytest.mark.parametrize("domain", DOMAINS)
def test_frames_arrays_and_lists_give_the_same(domain: str) -> None:
    module, neutral = DOMAINS[domain]
    held = columns(neutral, {}, {}, dict.fromkeys(neutral))
    lists = module.score(held, held)
    frame = pd.DataFrame(held)
    arrays = {name: frame[name].to_numpy() for name in frame}
    for other in (module.score(frame, frame), module.score(arrays, arrays)):
        for name, found in lists.items():
            assert list(map(str, found)) == list(map(str, other[name])), name


@pytest.mark.parametrize("domain", DOMAINS)
def test_outputs_are_of_their_declared_kind(domain: str) -> None:
    module, neutral = DOMAINS[domain]
    held = columns(neutral, {})
    found = module.score(held, held)
    kinds = {float: "f", int: "i", bool: "b", str: "O"}
    assert {name: found[name].dtype.kind for name in module.OUTPUTS} == {
        name: kinds[kind] for name, kind in module.OUTPUTS.items()
    }


@pytest.mark.parametrize("domain", COMPOSITES)
def test_weights_add_up_and_shares_are_part_of_the_outputs(domain: str) -> None:
    composite = COMPOSITES[domain]
    assert sum(composite.weights.values()) == pytest.approx(1.0)
    assert {composite.name, *composite.weights, *composite.shares} - {"risk_score"} <= DOMAINS[domain][
        0
    ].OUTPUTS.keys()


def test_shares_are_of_the_whole() -> None:
    composite = Composite("c", {"a": 0.75, "b": 0.25})
    found = composite.of({"a": np.array([1.0, 0.0, np.nan]), "b": np.array([1.0, 0.0, 0.8])})
    assert list(found["c"]) == pytest.approx([1.0, 0.0, 0.2])
    assert list(found["a_share"]) == pytest.approx([0.75, 0.0, 0.0])
    assert list(found["b_share"]) == pytest.approx([0.25, 0.0, 1.0])
    assert composite.reasons(found, 0) == [("a", 0.75), ("b", 0.25)]
    assert composite.reasons(found, 1) == []
    assert composite.reasons(found, 0, most=1) == [("a", 0.75)]


def test_every_score_is_documented() -> None:
    documented = (ROOT / "docs" / "scores.md").read_text()
    shares = {share for composite in COMPOSITES.values() for share in composite.shares}
    for module, _ in DOMAINS.values():
        for name in module.OUTPUTS.keys() - shares:
            assert f"`{name}`" in documented, name
    for composite in COMPOSITES.values():
        terms = " + ".join(f"{weight:g} {name}" for name, weight in composite.weights.items())
        assert f"| `{composite.name}` | {terms} " in documented


def test_mend_no_input_is_a_label() -> None:
    """The original's risk scores knew the truth; here the request is what anybody could know."""
    asked = {"claims": CLAIM, "transactions": PAYMENT, "iot": READING}
    for stream in STREAMS:
        labels = set(field_names(stream, "labels"))
        assert labels
        assert not labels & asked[stream].keys()
    assert not set(patterns.FEATURES) & set(field_names("iot", "labels"))


@pytest.mark.parametrize(
    "same",
    [
        [NOON],
        [NOON.isoformat()],
        [NOON.replace(tzinfo=None)],
        [int(NOON.timestamp() * 1000)],
        np.array([NOON.timestamp() * 1000]),
        np.array([NOON.replace(tzinfo=None)], "M8[ns]"),
        pd.Series([NOON]),
        pd.Series([NOON]).dt.tz_convert("Asia/Tokyo"),
        pd.Series([pd.Timestamp(NOON)], dtype=object),
    ],
)
def test_moments_in_whatever_form(same: Any) -> None:
    assert list(moments(same)) == [NOON.timestamp()]


def test_what_is_not_a_number_is_null() -> None:
    found = numbers([1, 2.5, True, None, float("nan"), float("inf"), pd.NA])
    np.testing.assert_array_equal(found, [1, 2.5, 1, *[np.nan] * 4])
    assert np.isnan(moments([None, pd.NaT, "NaT" and np.datetime64("NaT")])).all()
    assert np.isnan(moments(np.array(["NaT"], "M8[us]"))).all()
