"""tidemark plan."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from feast import Field
from feast.types import Float64
from feast_repos import register
from repo_parts import USER, aggregation, view

from tidemark.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(["plan", *arguments])
    shown = capsys.readouterr()
    return int(done.value.code or 0), shown.out, shown.err


def test_a_table_of_what_is_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(
        tmp_path,
        USER,
        view(aggregation(), schema=[Field(name="f", dtype=Float64), Field(name="g", dtype=Float64)]),
    )
    code, out, _ = run(capsys, "--repo", str(tmp_path), "--features")
    assert code == 0
    for text in (
        "by user_id, events",
        "1h/5min",
        "sum(amount)",
        "warning: view v declares g",
        "Growing a topic",
    ):
        assert text in out


def test_json_with_the_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(tmp_path, USER, view(name="a"), view(name="b"))
    code, out, _ = run(capsys, "--repo", str(tmp_path), "--json", "--views", "b")
    described = json.loads(out)
    (held,) = described["views"]
    assert (code, held["name"], held["base"], held["tile_bytes"]) == (0, "b", 300_000, 16)
    assert held["worst_case_bytes"] == held["worst_case_tiles"] * held["tile_bytes"] + held["hash_bytes"]
    assert held["windows"] == [{"length": 3_600_000, "slide": 300_000}]


def test_a_bad_definition_is_one_line_and_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(tmp_path, USER, view(aggregation("median")))
    code, out, err = run(capsys, "--repo", str(tmp_path))
    assert (code, out) == (1, "")
    assert err.startswith("view v: aggregation f: unknown aggregation function 'median': use one of")
    assert err.count("\n") == 1


def test_udfs_are_compiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(tmp_path, USER, view(mode="spark", udf=lambda events: events.orderBy("at"), udf_string=""))
    command = [str(Path(sys.executable).with_name("tidemark")), "plan", "--repo", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert refused.returncode == 1
    last = refused.stderr.strip().splitlines()[-1]
    assert last == "view v: its udf cannot be used, it sorts, which a stream cannot: remove orderBy"
    assert run(capsys, "--repo", str(tmp_path), "--no-udfs")[0] == 0
