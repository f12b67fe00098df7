"""Numbers of feature tables, measured by Spark, against numpy on the same values."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import shop_repo
import tables
from tables import MADE, NEW, OLD, at, write

from streaming import definitions
from streaming.history.backfill import backfill
from streaming.history.events import Events
from streaming.history.quality import QUANTILES, Period, Quality, keep, kept, measure
from streaming.history.store import HistoryError
from streaming.history.versions import parts, versions

FIRST = date(2026, 3, 1)
TYPES = {
    "spent": "DOUBLE",
    "small": "FLOAT",
    "orders": "INT64",
    "gift": "BOOL",
    "city": "STRING",
    "last": "UNIX_TIMESTAMP",
}
VIEW = tables.view(**TYPES)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def columns(n: int, rows: int = 400, scale: float = 1.0) -> dict[str, list]:
    rng = np.random.default_rng(n)
    spent = [None if i % 10 == 0 else float(v) * scale for i, v in enumerate(rng.normal(20, 15, rows))]
    return {
        "spent": spent,
        "small": rng.lognormal(0, 1, rows).astype(np.float32).tolist(),
        "orders": rng.poisson(3, rows).tolist(),
        "gift": (rng.random(rows) < 0.3).tolist(),
        "city": [None if i < 4 else f"c{v}" for i, v in enumerate(rng.integers(0, 5, rows))],
        "last": [at(day(n)) - timedelta(seconds=int(s)) for s in rng.integers(0, 3600, rows)],
    }


def by_feature(results: list[Quality], n: int) -> dict[str, Quality]:
    return {q.feature: q for q in results if q.day == day(n)}


def test_every_type_against_numpy(tmp_path: Path, spark) -> None:
    held = {n: columns(n) for n in range(3)}
    for n, values in held.items():
        # Two files of a day count as one.
        write(tmp_path, VIEW, day(n), {k: v[:150] for k, v in values.items()})
        write(tmp_path, VIEW, day(n), {k: v[150:] for k, v in values.items()}, name="part-2")
    results = measure(spark, str(tmp_path), VIEW, None, None, Period(day(0), day(1)), now=MADE)
    assert len(results) == 3 * len(TYPES)
    for n, values in held.items():
        found = by_feature(results, n)
        assert {q.rows for q in results} == {400}
        assert {name: q.nulls for name, q in found.items() if q.nulls} == {"spent": 40, "city": 4}
        for name, numbers in values.items():
            q, present = found[name], [v for v in numbers if v is not None]
            assert sum(q.counts) == len(present)
            assert q.definitions == OLD
            assert q.baseline == "2026-03-01..2026-03-02"
            if name == "city":
                assert set(q.quantiles) == {None}
                assert sorted(q.counts) == sorted(n for n in (present.count(f"c{i}") for i in range(5)) if n)
                continue
            if name == "last":
                present = [(at(day(n)) - v).total_seconds() for v in present]
            for share, got in zip(QUANTILES, q.quantiles, strict=True):
                values = np.array(present, float)
                below, above = (np.quantile(values, share, method=m) for m in ("lower", "higher"))
                assert below - abs(below) / 64 <= got <= above + abs(above) / 64, (name, share)
    assert {q.psi for q in by_feature(results, 0).values()} == {0.0}
    assert max(q.psi for q in results if q.psi is not None) < 0.1, "days alike"


def test_drift_is_found_and_only_where_it_is(tmp_path: Path, spark) -> None:
    for n in range(4):
        write(tmp_path, VIEW, day(n), columns(n, scale=1.0 if n < 3 else 2.0))
    results = measure(spark, str(tmp_path), VIEW, day(2), day(4), None, now=MADE)
    assert {q.day for q in results} == {day(2), day(3)}
    assert {q.baseline for q in results} == {"2026-03-01..2026-03-03"}, "the days before"
    drifted = {q.feature for q in results if q.psi is not None and q.psi > 0.25}
    assert drifted == {"spent"}
    assert {q.day for q in results if q.psi is not None and q.psi > 0.25} == {day(3)}


def test_a_feature_that_a_day_does_not_have_is_left_out(tmp_path: Path, spark) -> None:
    """Its column came later, or had another type: that is no null."""
    old = tables.view(spent="DOUBLE", orders="DOUBLE")
    write(tmp_path, old, day(0), {"spent": [1.0, 2.0], "orders": [1.0, 1.0]})
    new = tables.view(spent="DOUBLE", orders="INT64")
    write(tmp_path, new, day(1), {"spent": [1.0, None], "orders": [3, 4]}, NEW)
    results = measure(spark, str(tmp_path), new, None, None, None, now=MADE)
    assert [(q.feature, q.day, q.definitions, q.null_rate) for q in results] == [
        ("spent", day(0), OLD, 0.0),
        ("spent", day(1), NEW, 0.5),
        ("orders", day(1), NEW, 0.0),
    ]
    early = measure(spark, str(tmp_path), new, day(1), None, Period(day(0), day(1)), now=MADE)
    assert [(q.feature, q.psi is None, q.baseline) for q in early] == [
        ("spent", False, "2026-03-01..2026-03-02"),
        ("orders", True, ""),
    ]


def test_nothing_to_measure(tmp_path: Path, spark) -> None:
    with pytest.raises(HistoryError, match=r"no features of view v in .*run `tidemark backfill` first"):
        measure(spark, str(tmp_path), VIEW, None, None, None, now=MADE)
    write(tmp_path, VIEW, day(0), columns(0))
    with pytest.raises(HistoryError, match="from 2026-03-02 to before today"):
        measure(spark, str(tmp_path), VIEW, day(1), None, None, now=MADE)


def test_results_are_kept_by_day(tmp_path: Path) -> None:
    def made(n: int, psi: float | None) -> Quality:
        numbers = (1.0, None), (0.5,), (1, 2), (0.25, 0.75)
        return Quality("v", "f", day(n), OLD, 3, 0, *numbers, psi, "", MADE)

    assert kept(str(tmp_path), "v") == []
    keep(str(tmp_path), [made(1, 0.5), made(0, None)])
    keep(str(tmp_path), [made(1, 0.25)])
    assert kept(str(tmp_path), "v") == [made(0, None), made(1, 0.25)]


def test_a_table_of_a_real_backfill(tmp_path: Path, spark) -> None:
    events = {"orders": shop_repo.make(orders=60, visits=0)["orders"]}
    shop_repo.store(spark, tmp_path / "history", events)
    plan = definitions.load(shop_repo.apply(tmp_path / "repo", tmp_path / "history"), ["shop_orders"])
    (view,) = plan.views
    stored = Events(spark, plan, str(tmp_path / "history"))
    done = backfill(stored, view, None, None, tasks=1, now=MADE)
    results = measure(spark, stored.root, view, None, None, None, now=MADE)
    assert [q.feature for q in results] == ["shop_mean"] * done.dates
    assert sum(q.rows for q in results) == done.rows
    assert {q.definitions for q in results} == {done.definition}
    assert [(v.definition, v.rows) for v in versions(parts(stored.root, view.name))] == [
        (done.definition, done.rows)
    ]
