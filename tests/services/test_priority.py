"""Lanes stand back behind others, and a person's shell does not."""

import os
import subprocess
import sys

import pytest

SAYS = (
    "import os, sys; from pathlib import Path; from streaming.priority import stand_back; "
    "os.nice(3); stand_back(int(sys.argv[1]), Path(sys.argv[2])); print(os.nice(0))"
)


@pytest.mark.parametrize(("leads", "nice", "group"), [(True, 10, "10"), (False, 10, "0"), (True, 0, "0")])
def test_a_lane_stands_back_and_takes_its_session_along_where_it_leads_one(tmp_path, leads, nice, group):
    held = tmp_path / "autogroup"
    held.write_text("0")
    words = [sys.executable, "-c", SAYS, str(nice), str(held)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, start_new_session=leads)
    assert int(done.stdout) == max(os.nice(0) + 3, nice)
    assert held.read_text() == group
