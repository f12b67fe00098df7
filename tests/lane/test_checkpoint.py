"""A checkpoint whose files were cut short or lost is refused with the remedy, whoever reads it first."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.checkpoint import Checkpoint, Past
from streaming.errors import TidemarkError

OFFSETS = b'v1\n{"batchWatermarkMs":0}\n{"orders":{"0":12,"1":7}}'
SOURCE = b'v1\n{"orders":{"0":3,"1":0}}'


def written(folder: Path, name: str, data: bytes) -> Checkpoint:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return Checkpoint(str(folder))


def test_what_spark_wrote_is_read(tmp_path):
    written(tmp_path, "spark/offsets/4", OFFSETS)
    held = written(tmp_path, "spark/sources/0/0", SOURCE)
    assert held.offsets(4) == held.start(5) == {"orders": {"0": 12, "1": 7}}
    assert held.start(0) == {"orders": {"0": 3, "1": 0}}
    held.remember(Past(3, frozenset({"a"})))
    assert held.past == Past(3, frozenset({"a"}))


@pytest.mark.parametrize("left", [0, 2, 20, len(OFFSETS) - 1])
def test_offsets_that_were_cut(tmp_path, left):
    held = written(tmp_path, "spark/offsets/0", OFFSETS[:left])
    with pytest.raises(TidemarkError, match=r"spark/offsets/0.*is damaged.*empty folder.*tidemark rebuild"):
        held.offsets(0)


@pytest.mark.parametrize(
    ("name", "data", "read"),
    [
        ("spark/sources/0/0", SOURCE[:-2], lambda held: held.start(0)),
        ("spark/sources/0/0", b"v1", lambda held: held.start(0)),
        ("lane", b'{"epoch":3', lambda held: held.past),
        ("spark/offsets/1", OFFSETS, lambda held: held.offsets(2)),
    ],
)
def test_what_else_is_cut_or_gone(tmp_path, name, data, read):
    with pytest.raises(TidemarkError, match="is damaged"):
        read(written(tmp_path, name, data))
