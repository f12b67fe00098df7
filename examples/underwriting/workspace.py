"""A place for notebooks: tables, an applied repo and a Redis, made when they are first asked for."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic_settings import BaseSettings, SettingsConfigDict

from examples.underwriting.settings import REPO
from streaming import lazy_spark

if TYPE_CHECKING:
    from feast import FeatureStore


class Workspace(BaseSettings):
    """Read from UNDERWRITING_<NAME>: `work` is the folder, `customers` how many its tables have, `redis` (host:port)
    the online store; without one a Redis of its own is started in the folder."""

    model_config = SettingsConfigDict(env_prefix="UNDERWRITING_", extra="ignore")

    work: Path = Path("var/underwriting/notebooks")
    customers: int = 1_000
    redis: str | None = None

    @property
    def repo(self) -> Path:
        return self.work.resolve() / "feature_repo"

    @property
    def data(self) -> Path:
        return self.repo / "data"

    def tables(self) -> dict[str, int]:
        """Write every table up to now, unless they are there; returns the rows of each."""
        from pyarrow import parquet

        from examples.underwriting import setup_data
        from examples.underwriting.history.tables import Tables

        if not (self.data / "claims_stream.parquet").exists():
            made = Tables(setup_data.world(self.customers, 0, None, time.time()))
            setup_data.write([*made, *setup_data.stream_pasts(made)], self.data, lambda _: None)
        return {
            path.stem: parquet.read_metadata(path).num_rows for path in sorted(self.data.glob("*.parquet"))
        }

    def store(self) -> FeatureStore:
        """The repo's feature store, with all definitions registered."""
        from feast import FeatureStore

        lazy_spark.install()
        settings = self.repo / "feature_store.yaml"
        if not settings.exists():
            self.repo.mkdir(parents=True, exist_ok=True)
            held = yaml.safe_load((REPO / "feature_store.yaml").read_text())
            held["online_store"]["connection_string"] = self._redis()
            settings.write_text(yaml.safe_dump(held))
            shutil.copy(REPO / "registered.py", self.repo)
        store = FeatureStore(repo_path=str(self.repo))
        if not (self.data / "registry.db").exists():
            with contextlib.chdir(self.repo):
                store.apply(definitions())
        return store

    def _redis(self) -> str:
        if self.redis:
            return self.redis
        from tidemark.services import LocalServices

        services = LocalServices(self.work / "services")
        return services.redis.start(services.settings.start_timeout).address


def definitions() -> list[Any]:
    """Everything that `feast apply` registers."""
    from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView
    from feast.data_source import DataSource

    from examples.underwriting.feature_repo import registered

    kinds = (Entity, FeatureView, OnDemandFeatureView, FeatureService, DataSource)
    held = {id(value): value for value in vars(registered).values() if isinstance(value, kinds)}
    return list(held.values())
