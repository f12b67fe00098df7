"""Versions in feature tables, and rows read as of one."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tables
from tables import MADE, NEW, OLD, write

from streaming.history.store import HistoryError
from streaming.history.versions import Version, parts, read, versions

VIEW, WIDER = tables.view(a="DOUBLE"), tables.view(a="DOUBLE", b="INT64")
DAYS = [date(2026, 3, n) for n in range(1, 5)]
LATER = MADE + timedelta(days=1)


def world(root: Path) -> None:
    """The new version has written the last two of four days."""
    for day in DAYS[:2]:
        write(root, VIEW, day, {"a": [1.0, 2.0]})
    for day in DAYS[2:]:
        write(root, WIDER, day, {"a": [3.0], "b": [7]}, NEW, LATER)
        write(root, WIDER, day, {"a": [4.0], "b": [None]}, NEW, LATER, "part-2")


def test_versions_from_the_footers(tmp_path: Path) -> None:
    assert versions(parts(str(tmp_path), "v")) == []
    world(tmp_path)
    (tmp_path / "features" / "v" / "_SUCCESS").touch()
    assert versions(parts(str(tmp_path), "v")) == [
        Version(NEW, DAYS[2], DAYS[3], 2, 4, LATER),
        Version(OLD, DAYS[0], DAYS[1], 2, 4, MADE),
    ]
    assert {p.day for p in parts(str(tmp_path), "v", DAYS[1], DAYS[3])} == {DAYS[1], DAYS[2]}


def test_a_training_set_as_of_a_version(tmp_path: Path, spark) -> None:
    world(tmp_path)
    old, new = (read(spark, str(tmp_path), "v", v) for v in (OLD, NEW))
    assert "b" not in old.columns
    assert sorted((r.event_date, r.a) for r in old.collect()) == [(d, a) for d in DAYS[:2] for a in (1, 2)]
    assert sorted((r.event_date, r.a, r.b) for r in new.collect()) == [
        (d, *row) for d in DAYS[2:] for row in ((3.0, 7), (4.0, None))
    ]
    assert read(spark, str(tmp_path), "v", OLD[:4]).count() == 4, "cut short as far as it names one"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("01", f"01 is one of several versions of view v in .*: choose from {NEW}, {OLD}"),
        ("7", f"7 is no version of view v in .*: choose from {NEW}, {OLD}"),
        ("", "the empty text is no version"),
    ],
)
def test_a_version_that_is_not_there(version: str, message: str, tmp_path: Path, spark) -> None:
    world(tmp_path)
    with pytest.raises(HistoryError, match=message):
        read(spark, str(tmp_path), "v", version)
    with pytest.raises(HistoryError, match="run `tidemark backfill` first"):
        read(spark, str(tmp_path), "other", OLD)


def test_a_file_of_several_versions(tmp_path: Path, spark) -> None:
    """Not as backfill writes, but a compaction may: then the columns are read."""
    one, other = (
        write(tmp_path, VIEW, DAYS[0], {"a": [1.0]}),
        write(tmp_path, VIEW, DAYS[1], {"a": [2.0]}, NEW),
    )
    together = pa.concat_tables([pq.ParquetFile(one).read(), pq.ParquetFile(other).read()])
    pq.write_table(together, one)
    other.unlink()
    (part,) = parts(str(tmp_path), "v")
    assert part.rows == ((OLD, 1), (NEW, 1))
    assert [r.a for r in read(spark, str(tmp_path), "v", NEW).collect()] == [2.0]


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "features" / "v" / "event_date=2026-03-01"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), folder / "x.parquet")
    with pytest.raises(HistoryError, match=r"x.parquet is not from `tidemark backfill`: move it away"):
        parts(str(tmp_path), "v")
