"""Known vulnerabilities of the locked packages, by pip-audit. Exit code 1 for any that nobody has judged.

Where the vulnerability service cannot be reached, or knows none of the packages, nothing was audited: that is said, and
is no failure. `.ci/audit.ignore` has a line for each id that does not apply, with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 180
COMMAND = ("-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", "--timeout", "10", "-f", "json")


def audited(lock: Path) -> list[dict[str, Any]]:
    """What pip-audit says of each package; empty when it could not ask."""
    command = [sys.executable, *COMMAND, "-r", str(lock)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError, KeyError):
        return []
    return [package for package in packages if "skip_reason" not in package]


def judged() -> set[str]:
    """Ids that somebody has found not to apply."""
    lines = (HERE / "audit.ignore").read_text().splitlines()
    return {line.split()[0] for line in lines if line and not line.startswith("#")}


def verdict(packages: list[dict[str, Any]], known: set[str]) -> tuple[str, int]:
    """What to say, and the exit code."""
    if not packages:
        return "audit: the vulnerability service was not reached or knows no package; nothing was audited", 0
    found = [
        f"audit: {package['name']} {package['version']}: {vuln['id']}, mended in {', '.join(vuln['fix_versions']) or 'none'}"
        for package in packages
        for vuln in package["vulns"]
        if not {vuln["id"], *vuln.get("aliases", [])} & known
    ]
    if found:
        return "\n".join([*found, "audit: raise the versions, or judge the ids in .ci/audit.ignore"]), 1
    return f"audit: {len(packages)} packages without known vulnerabilities", 0


if __name__ == "__main__":
    said, code = verdict(audited(HERE.parent / "requirements.lock"), judged())
    print(said)
    sys.exit(code)
