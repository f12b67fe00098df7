"""Everything the example runs on: Kafka, Redis, PostgreSQL, the Feast repo, and the lanes over a simulated past."""

from __future__ import annotations

import runpy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import psycopg.conninfo
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView
from pyspark.sql import SparkSession

from examples.feature_store_api import filling, postgres
from examples.feature_store_api.online import Online
from examples.feature_store_api.recent import Follower
from examples.feature_store_api.settings import HERE, FraudSettings
from examples.feature_store_api.warehouse import STREAMED_DDL, Warehouse
from generators.delivery import KafkaSettings
from generators.population import Population
from generators.run import Run
from generators.scenario import Scenario
from generators.workers import carry_out
from streaming import definitions, lazy_spark, session
from streaming.checkpoint import Checkpoint
from streaming.errors import TidemarkError
from streaming.history.backfill import backfill
from streaming.history.events import Events
from streaming.lanes.history import HistoryLane
from streaming.lanes.online import OnlineLane
from streaming.settings import HistorySettings, LaneSettings
from streaming.sinks.delta import SPARK
from tidemark import broker, topics
from tidemark.jars import spark_jars
from tidemark.services import Endpoints, LocalServices
from tidemark.settings import local_settings

Say = Callable[[str], None]


class NoPostgresStore(TidemarkError):
    """Feast's PostgreSQL store cannot be loaded."""


@dataclass
class World:
    """`seconds` holds how long each step took, by name; `rows` how many payments PostgreSQL has."""

    settings: FraudSettings
    endpoints: Endpoints
    store: FeatureStore
    online: Online
    warehouse: Warehouse
    say: Say
    seconds: dict[str, float] = field(default_factory=dict)
    rows: int = 0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began

    def produce(self, end: float) -> None:
        """Send the settings' payments, the last of which happens at `end` (s)."""
        settings = self.settings
        rate = settings.events / (settings.days * 86_400)
        population = Population(seed=settings.seed, users=settings.users)
        scenario = Scenario(seed=settings.seed, rate=rate, mix={"transactions": 1.0}, population=population)
        begin = int((end - settings.days * 86_400) * 1_000)
        kafka, names = KafkaSettings(self.endpoints.kafka), {"transactions": settings.topic}
        carry_out(Run(kafka, scenario, None, events=settings.events, start_time=begin, topics=names))

    def compute(self, spark: SparkSession) -> None:
        """Run both lanes over what Kafka holds, then the features as of each payment, into PostgreSQL."""
        folder, repo = self.settings.folder, self.store.repo_path
        plan = definitions.load(repo, None, spark).at(self.endpoints.kafka)
        online = Checkpoint(str(folder / "online"))
        with self.timed("online lane"):
            OnlineLane(plan, online, LaneSettings(), spark).run(until_caught_up=True)
        past = HistorySettings(
            history=str(self.settings.history),
            history_sinks=self.warehouse.uri,
            history_windows="none",
            history_sessions=False,
            history_state="memory",
        )
        with self.timed("history lane"):
            HistoryLane(plan, (), str(folder / "lane"), past, spark).run(until_caught_up=True)
        with self.timed("features as of each payment"):
            events = Events(spark, plan, str(self.settings.history))
            backfill(events, plan.views[0], None, None, tasks=4, now=datetime.now(UTC))
        with self.timed("into PostgreSQL"), self.warehouse.connect() as db:
            db.execute(STREAMED_DDL)
            self.rows = filling.fill(self.warehouse, self.settings.history)

    def follow(self) -> None:
        """Take the last payments of each card to Redis."""
        with self.timed("recent payments"):
            Follower(self.endpoints.kafka, self.settings.topic, self.online.redis).run()


def spark() -> SparkSession:
    """A session of this machine's cores for the lanes; the caller stops it."""
    jars = list(spark_jars())
    return session.build(
        "tidemark-fraud",
        master="local[*]",
        jars=jars,
        shuffle_partitions=2,
        driver_memory="2g",
        conf=dict(SPARK),
    )


@contextmanager
def world(settings: FraudSettings, say: Say = lambda _: None) -> Iterator[World]:
    """Services of the example's own, with topics and an applied repo; they end with the context, their files are
    made anew by the next. Raises TidemarkError."""
    local = local_settings()
    services = LocalServices(settings.folder / "services", 0, 0, settings=local, say=say)
    services.stop()
    filling.emptied(settings.folder)
    say("starting Kafka, Redis and PostgreSQL")
    with postgres.database(settings.folder, settings.postgres) as uri:
        endpoints = services.start()
        try:
            declared = topics.declared(local.conf_dir / "topics.yaml")
            broker.apply(endpoints.kafka, declared, topics.sized(declared, small=True, overrides=[]))
            store = repo(settings.folder / "repo", endpoints.redis, uri)
            register(store)
            warehouse = Warehouse(uri)
            warehouse.prepare()
            yield World(settings, endpoints, store, Online(store), warehouse, say)
        finally:
            services.stop()


def repo(folder: Path, redis: str, uri: str) -> FeatureStore:
    """The Feast repo in `folder`, over this Redis (host:port) and database. Raises NoPostgresStore."""
    try:
        import psycopg_pool  # noqa: F401
    except ImportError as missing:
        raise NoPostgresStore(
            "Feast's PostgreSQL store needs psycopg_pool: pip install 'psycopg[pool]'"
        ) from missing
    config = yaml.safe_load((HERE / "feature_repo" / "feature_store.yaml").read_text())
    config["registry"] = str(folder / "registry.db")
    config["online_store"]["connection_string"] = redis
    named = psycopg.conninfo.conninfo_to_dict(uri)
    config["offline_store"] |= {
        "host": named.get("host", "localhost"),
        "port": int(named.get("port", 5432)),
        "database": named.get("dbname", "postgres"),
        "user": named.get("user", ""),
        "password": named.get("password", ""),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config))
    lazy_spark.install()
    return FeatureStore(repo_path=str(folder))


def register(store: FeatureStore) -> None:
    """What `feast apply` does; the tables must be there."""
    named = runpy.run_path(str(HERE / "feature_repo" / "definitions.py"))
    store.apply([held for held in named.values() if isinstance(held, Entity | FeatureView | FeatureService)])
