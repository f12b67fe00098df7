"""tidemark quality and tidemark features versions, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path

import pytest
import tables
from feast import Field
from feast.types import Float64
from feast_repos import register
from repo_parts import USER, aggregation, view
from tables import NEW, OLD, write

from streaming.definitions import load
from streaming.definitions.thresholds import Thresholds
from streaming.errors import TidemarkError
from streaming.history.quality import Quality
from streaming.history.version import definition
from tidemark.cli import main
from tidemark.commands.quality import command, find, spark_line
from tidemark.quality_sheet import sheet

DAYS = [date(2026, 3, n) for n in range(1, 4)]
STORED = tables.view(f="DOUBLE", g="DOUBLE")


def repo(folder: Path, **tags: str) -> Path:
    """One view v with the features f and g."""
    folder.mkdir()
    two = (aggregation(), aggregation("mean", name="g"))
    schema = [Field(name=name, dtype=Float64) for name in "fg"]
    register(folder, USER, view(*two, schema=schema, tags=tags))
    return folder


def store(root: Path, definition: str = OLD) -> None:
    for n, day in enumerate(DAYS):
        held = [float(v % 10) for v in range(100)]
        write(root, STORED, day, {"f": held, "g": [None] * (20 * n) + held[20 * n :]}, definition)


def tidemark(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tidemark")), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_measured_judged_kept_and_drawn(tmp_path: Path) -> None:
    folder, root, plot = (
        repo(tmp_path / "repo", **{"quality.max_null_rate.g": "0.3"}),
        tmp_path / "h",
        tmp_path / "q.svg",
    )
    store(root)
    words = ["quality", "--repo", str(folder), "--history", str(root), "--baseline", "2026-03-01..2026-03-02"]
    done = tidemark(*words, "--plot", str(plot))
    assert done.returncode == 1, done.stderr[-2000:]
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0] == "v, 2026-03-01 to 2026-03-03, against 2026-03-01..2026-03-02"
    assert next(line for line in lines if line.startswith("f ")).split()[:3] == ["f", "100", "0.00"]
    assert next(line for line in lines if line.startswith("g ")).split()[:3] == ["g", "100", "40.00"]
    assert lines[-1] == "v.g on 2026-03-03: null rate 0.4 above 0.3"
    assert len(list((root / "quality" / "v").glob("*.json"))) == 3
    drawn = plot.read_text()
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert "100 rows on 2026-03-03" in drawn


def quality(feature: str, day: date, nulls: int, psi: float | None) -> Quality:
    low = (0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 9.0)
    return Quality(
        "v", feature, day, OLD, 100, nulls, low, (3.0,), (50, 50), (0.5, 0.5), psi, "b", tables.MADE
    )


def test_what_breaks_a_threshold() -> None:
    rules = {"v": {"f": Thresholds(0.1, 0.2), "g": Thresholds()}}
    held = [quality("f", DAYS[0], 10, None), quality("f", DAYS[1], 11, 0.3), quality("g", DAYS[0], 99, 9.0)]
    assert [(b["day"], b["reason"]) for b in find(held, rules)] == [
        ("2026-03-02", "null rate 0.11 above 0.1"),
        ("2026-03-02", "PSI 0.3 above 0.2"),
    ]


def test_a_chart_has_a_gap_where_a_day_is_missing_and_its_threshold() -> None:
    held = [quality("a<b", DAYS[0], 0, None), quality("a<b", DAYS[2], 5, 0.1)]
    drawn = sheet(held, {"v": {"a<b": Thresholds(max_psi=0.25)}})
    (row,) = drawn.rows
    assert [chart.line for chart in row.charts[:3]] == [
        [0.0, None, 0.05],
        [3.0, None, 3.0],
        [None, None, 0.1],
    ]
    assert row.charts[2].limit == 0.25
    root = ET.fromstring(drawn.svg())
    classes = [e.get("class") for e in root.iter()]
    assert classes.count("limit") == 1
    assert classes.count("bar") == 2
    assert classes.count("band") == 2


def test_a_trend_in_a_line() -> None:
    assert spark_line([0, None, 0.5, 1.0], 1.0) == "▁ ▅█"
    assert spark_line([0.0, 0.0]) == "▁▁"
    assert len(spark_line([1.0] * 99)) == 14


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"plot": Path("q.png")}, "q.png is no SVG file, and no other is drawn: name it q.svg"),
        ({"since": "March"}, "'March' is no day: write it like 2026-01-31"),
        ({"baseline": "2026-03-01"}, "--baseline '2026-03-01' is no range of days: write"),
        ({"baseline": "2026-03-02..2026-03-02"}, "has no day: name the day after its last"),
    ],
)
def test_wrong_options_are_one_line(words: dict, message: str, tmp_path: Path) -> None:
    given = {
        "repo": tmp_path,
        "views": "",
        "since": "",
        "until": "",
        "baseline": "",
        "history": "",
        "plot": None,
    }
    with pytest.raises(TidemarkError, match=message):
        command(**(given | words), days=False, as_json=False)


def test_versions_of_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, root = repo(tmp_path / "repo"), tmp_path / "h"
    (asked,) = (definition(plan, plan.views[0]) for plan in [load(folder)])
    words = ["features", "versions", "--repo", str(folder), "--history", str(root)]

    def run(*more: str) -> tuple[str, str]:
        with pytest.raises(SystemExit):
            main([*words, *more])
        shown = capsys.readouterr()
        return shown.out, shown.err

    assert "run `tidemark backfill` first" in run()[1]
    store(root, asked)
    write(root, STORED, date(2026, 2, 28), {"f": [1.0], "g": [1.0]}, NEW)
    out, _ = run()
    assert f"{asked}, current" in out
    assert out.split().count("2026-03-20") == 2
    assert "2026-03-01  2026-03-03  3      300" in out
    told = json.loads(run("--json")[0])["versions"]
    assert {(v["definition"], v["asked"], v["dates"], v["rows"]) for v in told} == {
        (asked, True, 3, 300),
        (NEW, False, 1, 1),
    }
