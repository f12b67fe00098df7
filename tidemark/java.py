"""The Java that runs the broker, Ivy and Spark."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from streaming.errors import ServiceError

OLDEST = 17
REMEDY = "install it (Debian: apt install openjdk-17-jre-headless; macOS: brew install openjdk@17)"


@cache
def java(home: Path | None = None) -> Path:
    """Path of a Java of at least version 17, in `home` or on PATH.

    Raises ServiceError naming the package when there is none.
    """
    found = shutil.which("java", path=str(home / "bin")) if home else shutil.which("java")
    if not found:
        where = f"no java in {home}/bin (from JAVA_HOME)" if home else "no java on PATH"
        raise ServiceError(f"{where}: Java {OLDEST} or newer is needed; {REMEDY}")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if not version:
        raise ServiceError(f"{found} does not run: Java {OLDEST} or newer is needed; {REMEDY}")
    if int(version[1]) < OLDEST:
        raise ServiceError(f"{found} is Java {version[1]}: Java {OLDEST} or newer is needed; {REMEDY}")
    return Path(found)
