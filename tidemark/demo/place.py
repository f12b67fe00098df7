"""The demo's own directory: data, logs and a copy of the feature repo; the checkout stays as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from streaming.errors import ServiceError, TidemarkError
from tidemark.services import Endpoints
from tidemark.settings import ROOT, LocalSettings

ORIGINAL = ROOT / "feature_repo"
APPLY = "from streaming import lazy_spark as s; s.install(); from feast.cli.cli import cli; cli()"
"""Feast's own command, without the Spark session that it would start and not use."""


@dataclass(frozen=True)
class Place:
    """Where a demo keeps everything it makes."""

    dir: Path

    @property
    def services(self) -> Path:
        return self.dir / "services"

    @property
    def repo(self) -> Path:
        return self.dir / "feature_repo"

    @property
    def lane_log(self) -> Path:
        return self.dir / "lane.log"

    @property
    def scores_log(self) -> Path:
        return self.dir / "scores.log"

    @property
    def history_log(self) -> Path:
        return self.dir / "history.log"

    @property
    def api_log(self) -> Path:
        return self.dir / "api.log"

    def copy_repo(self, endpoints: Endpoints, original: Path = ORIGINAL) -> None:
        """Copy the definitions, with `endpoints` as their online store. Raises TidemarkError without any."""
        if not (original / "feature_store.yaml").is_file():
            raise TidemarkError(f"{original} holds no Feast repo: run the demo in a checkout of Tidemark")
        shutil.copytree(original, self.repo, ignore=shutil.ignore_patterns("data", "__pycache__"))
        (self.repo / "data").mkdir()
        settings = self.repo / "feature_store.yaml"
        config = yaml.safe_load(settings.read_text())
        config["online_store"]["connection_string"] = endpoints.redis
        settings.write_text(yaml.safe_dump(config, sort_keys=False))

    def apply(self, endpoints: Endpoints) -> None:
        """`feast apply` on the copy. Raises ServiceError naming the log when it fails."""
        log = self.dir / "apply.log"
        address = f"TIDEMARK_BOOTSTRAP={endpoints.kafka}"
        command = ["env", address, sys.executable, "-c", APPLY, "-c", str(self.repo), "apply"]
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise ServiceError(
                f"feast apply failed: {lines[-1] if lines else 'it said nothing'} (log: {log})"
            )


def make(settings: LocalSettings) -> Place:
    """A fresh directory beside the local services' own."""
    parent = settings.services_dir.parent / "demo"
    parent.mkdir(parents=True, exist_ok=True)
    return Place(Path(tempfile.mkdtemp(prefix="run-", dir=parent)))
