"""Feast is imported unchecked by our processes; whatever else uses typeguard, and Feast's own commands, check."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from feast import Entity
import typeguard

@typeguard.typechecked
def number(value: int) -> int:
    return value

for call in (lambda: Entity(name="user", description=5), lambda: number("five")):
    try:
        call()
        print("passed")
    except typeguard.TypeCheckError:
        print("refused")
"""


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", ["refused", "refused"]),
        ("import streaming", ["passed", "refused"]),
        ("import feast, streaming", ["refused", "refused"]),
    ],
)
def test_our_processes_import_feast_unchecked_and_nothing_else(
    tmp_path: Path, before: str, expected: list[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(before + PROGRAM)
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True, env=paths)
    assert done.stdout.split() == expected
