"""The audit of `make check`: fails for what nobody has judged, and says when nothing was audited."""

import runpy
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
BAD = {
    "name": "left-pad",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}],
}
GOOD = {"name": "right-pad", "version": "2.0", "vulns": []}


def test_what_is_known_fails_until_it_is_judged():
    said, code = AUDIT["verdict"]([GOOD, BAD], set())
    assert (code, "left-pad 1.0: PYSEC-1, mended in 1.1" in said) == (1, True)
    assert AUDIT["verdict"]([GOOD, BAD], {"CVE-1"}) == ("audit: 2 packages without known vulnerabilities", 0)


def test_a_service_that_is_away_is_said_and_no_failure(monkeypatch):
    away = subprocess.CompletedProcess([], 1, "", "ERROR: no connection")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: away)
    said, code = AUDIT["verdict"](AUDIT["audited"](ROOT / "requirements.lock"), set())
    assert (code, "nothing was audited" in said) == (0, True)


def test_make_check_audits():
    assert ".ci/audit.py" in (ROOT / "Makefile").read_text()
    assert AUDIT["judged"]() == set()
