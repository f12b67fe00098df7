"""The whole demo, short: it ends well, its suggestions work, and Ctrl-C leaves nothing running."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

TIDEMARK = Path(sys.executable).with_name("tidemark")
PATIENCE = 600
"""Seconds; a quiet machine needs about 60."""


def demo(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TIDEMARK, "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TIDEMARK_SERVICES_DIR": str(tmp_path / "services")},
    )


def running(tmp_path: Path) -> list[str]:
    """Command lines of processes that work in or on the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        told = f"{' '.join(process.info['cmdline'] or [])} {process.info['cwd']}"
        if str(tmp_path) in told and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(told)
    return found


@pytest.mark.chaos
def test_ctrl_c_in_the_middle_leaves_nothing_running(tmp_path):
    child = demo(tmp_path, "--seconds", "60", "--rate", "500")
    end = time.monotonic() + PATIENCE
    said = ""
    while "traffic begins" not in said and time.monotonic() < end:
        said += (line := child.stdout.readline())
        assert line, said
    before = running(tmp_path)
    assert len(before) >= 3, "broker, Redis, lane"
    child.send_signal(signal.SIGINT)
    said += child.communicate(timeout=60)[0]
    assert child.returncode == 130, said
    assert said.splitlines()[-1] == "stopped; nothing is left running"
    assert running(tmp_path) == []
    assert list((tmp_path / "demo").iterdir()) == []


def test_the_demo_adds_up_and_what_it_suggests_works(tmp_path):
    child = demo(tmp_path, "--seconds", "4", "--rate", "500", "--keep")
    said = child.communicate(timeout=PATIENCE)[0]
    try:
        assert child.returncode == 0, said
        assert "sent = read = used + filtered" in said
        assert re.search(r"p50 [\d,]+ ms, p95 [\d,]+ ms|the one before took [\d,]+ ms", said)
        suggested = [line.strip() for line in said.split("what to try next")[1].splitlines() if line.strip()]
        assert len(suggested) >= 5
        for command in suggested:
            done = subprocess.run(
                shlex.split(command), capture_output=True, text=True, check=False, timeout=120
            )
            assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        assert running(tmp_path) == []
    finally:
        for place in (tmp_path / "demo").iterdir():
            subprocess.run([TIDEMARK, "services", "stop", "--dir", place / "services"], check=True)
