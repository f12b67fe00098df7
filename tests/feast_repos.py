"""Feast repos for tests: definitions applied in this process, or a folder applied as a user would."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore, repo_operations
from feast.repo_config import load_repo_config

from streaming import lazy_spark

ROOT = Path(__file__).parent.parent
TILED = "serving.online_store.TiledRedisOnlineStore"


def settings(project: str = "tests", **online_store: Any) -> dict[str, Any]:
    """What feature_store.yaml holds; keyword arguments are the online store's."""
    return {
        "project": project,
        "provider": "local",
        "registry": "data/registry.db",
        "online_store": {"type": TILED, "connection_string": "localhost:6379", **online_store},
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }


def register(folder: Path, *objects: Any, **changes: Any) -> FeatureStore:
    """Apply Feast objects to a new repo in `folder`; `changes` replace settings."""
    lazy_spark.install()
    (folder / "feature_store.yaml").write_text(yaml.safe_dump({**settings(), **changes}))
    store = FeatureStore(repo_path=str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store.apply(list(objects))
    return store


def applied(source: Path, into: Path, redis: str = "localhost:6379", **online_store: Any) -> Path:
    """A copy of the repo `source` on another Redis, applied as `feast apply` does; its folder is `into`."""
    shutil.copytree(source, into, ignore=shutil.ignore_patterns("registry.db", "__pycache__"))
    held = yaml.safe_load((source / "feature_store.yaml").read_text())
    held["online_store"] |= {"connection_string": redis, **online_store}
    (into / "feature_store.yaml").write_text(yaml.safe_dump(held))
    lazy_spark.install()
    with imported_from(into), contextlib.chdir(into), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        repo_operations.apply_total(load_repo_config(into, into / "feature_store.yaml"), into, True)
    return into


@contextlib.contextmanager
def imported_from(repo: Path) -> Iterator[None]:
    """The repo's modules can be imported by their bare names, and are forgotten afterwards."""
    sys.path.insert(0, str(repo))
    try:
        yield
    finally:
        sys.path.remove(str(repo))
        for name, module in list(sys.modules.items()):
            if str(repo) in str(getattr(module, "__file__", None)):
                del sys.modules[name]


def feast(repo: Path, *arguments: str) -> str:
    """Run the command `feast` in `repo`; its output. Fails when it fails."""
    command = [str(Path(sys.executable).with_name("feast")), *arguments]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
