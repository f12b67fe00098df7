"""The example's parts on this machine: broker, Redis, definitions, and the lanes in one Spark."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.card_fraud.settings import HERE, MODEL, REPO
from streaming.errors import ServiceError
from streaming.history.store import StoreSettings
from tidemark import broker, topics
from tidemark.demo.place import Place
from tidemark.services import Endpoints, LocalServices

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from examples.card_fraud.payments import Payments
    from streaming.plan import Plan

TOPIC = "card-payments"
LOG = "spark.log"
PATIENCE = 300


@dataclass
class System:
    """Everything that runs, with all that it writes under `folder`. `say` hears a line about each step."""

    folder: Path
    say: Callable[[str], None] = lambda _: None
    endpoints: Endpoints = field(init=False)

    @property
    def place(self) -> Place:
        return Place(self.folder)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def history(self) -> StoreSettings:
        return StoreSettings.model_validate({"history": str(self.folder / "history")})

    def start(self) -> None:
        """Broker, Redis, topics, and `feast apply` of a copy of the repo that names them. Raises TidemarkError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.endpoints = LocalServices(self.place.services).start()
        wanted = topics.declared(HERE / "topics.yaml")
        broker.apply(self.endpoints.kafka, wanted, topics.sized(wanted, small=True))
        self.place.copy_repo(self.endpoints, REPO)
        self.place.apply(self.endpoints)
        self.say(f"Kafka {self.endpoints.kafka}, Redis {self.endpoints.redis}, definitions applied")

    def send(self, payments: Payments) -> None:
        """All payments to Kafka. Raises ServiceError when one was not taken."""
        from generators.delivery import Delivery, KafkaSettings

        delivery = Delivery(KafkaSettings(self.endpoints.kafka), [TOPIC])
        for keys, values in payments.messages():
            delivery.send(TOPIC, keys, values)
        delivery.close()
        if delivery.failed:
            raise ServiceError(
                f"{delivery.failed:,} payments were not delivered: {dict(delivery.failures)}; see the broker's log"
            )

    @contextmanager
    def spark(self) -> Iterator[tuple[SparkSession, Plan]]:
        """One session for both lanes and for training, and the compiled plan."""
        from streaming import definitions
        from streaming.history.sessions import session
        from tidemark.jars import spark_jars

        with _errors_to(self.folder / LOG), session("card-fraud", self.history, spark_jars) as spark:
            yield spark, definitions.load(self.place.repo, None, spark)

    def remember(self, spark: SparkSession, plan: Plan) -> Counter[str]:
        """The history lane, until it has caught up; returns what became of the messages."""
        from streaming.lanes.history import HistoryLane
        from streaming.settings import HistorySettings

        settings = HistorySettings.model_validate(
            {
                "history": self.history.history,
                "history_windows": "none",
                "history_sessions": False,
                "history_state": "memory",
                "updates": False,
            }
        )
        counts: Counter[str] = Counter()

        def add(line: dict[str, Any]) -> None:
            if line["flow"] == "arrivals":
                counts["written"] += sum(line["written"].values())
                counts["quarantined"] += sum(
                    sum(reasons.values()) for reasons in line["quarantined"].values()
                )
                counts["duplicates"] += line["duplicates"]

        lane = HistoryLane(plan, (), str(self.folder / "history-checkpoint"), settings, spark, add)
        lane.run(until_caught_up=True)
        return counts

    @contextmanager
    def online(self, spark: SparkSession, plan: Plan) -> Iterator[Live]:
        """The online lane beside what the context does."""
        live = Live(spark, plan, self.folder / "checkpoint")
        try:
            yield live
        finally:
            live.stop()

    def clean(self) -> list[str]:
        """Remove topics, keys and models, then the services and everything else; returns what was removed."""
        removed = []
        if not self.folder.is_dir():
            return removed
        services = LocalServices(self.place.services)
        running = {status.name: status for status in services.status()}
        if all(status.answers for status in running.values()) and (self.place.repo / "data").is_dir():
            from serving.deletion import delete_plan
            from streaming import definitions
            from tidemark.admin import admin

            kafka = next(s.address for s in running.values() if s.name.lower() == "kafka")
            client = admin(str(kafka))
            there = client.list_topics(timeout=10).topics
            present = [name for name in topics.declared(HERE / "topics.yaml").topics if name in there]
            for future in client.delete_topics(present).values() if present else ():
                future.result(30)
            removed.append(f"topics {', '.join(present)}")
            plan = definitions.load(self.place.repo)
            keys = sum(delete_plan(self.place.repo, plan).values())
            removed.append(f"{keys:,} keys of project {plan.project}")
        if self.models.is_dir():
            from training.models.shelf import Shelf

            removed.append(f"{len(Shelf(self.models, MODEL).versions())} versions of model {MODEL}")
        services.stop()
        shutil.rmtree(self.folder)
        return [*removed, str(self.folder)]


@contextmanager
def _errors_to(file: Path) -> Iterator[None]:
    """What this process and Spark's JVM write to standard error goes to `file`."""
    before = os.dup(2)
    with file.open("ab") as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


class Live:
    """The online lane in a thread."""

    def __init__(self, spark: SparkSession, plan: Plan, checkpoint: Path) -> None:
        from streaming.checkpoint import Checkpoint
        from streaming.lanes.online import OnlineLane
        from streaming.settings import LaneSettings

        settings = LaneSettings.model_validate({"updates": False})
        self.read = 0
        self._error: Exception | None = None
        self._lane = OnlineLane(plan, Checkpoint(str(checkpoint)), settings, spark, self._count)
        self._thread = threading.Thread(target=self._run, name="online-lane", daemon=True)
        self._thread.start()

    def caught_up(self, messages: int) -> None:
        """Return once it has read so many messages. Raises what ended it, ServiceError when it takes too long."""
        late = time.monotonic() + PATIENCE
        while self.read < messages:
            if self._error:
                raise self._error
            if time.monotonic() > late or not self._thread.is_alive():
                raise ServiceError(
                    f"the online lane has read {self.read:,} of {messages:,} payments and does not go on: set "
                    "TIDEMARK_CARDS_USERS to a lower number on a busy machine"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Let the running batch end."""
        self._lane.stop()
        self._thread.join(60)

    def _count(self, report: dict[str, Any]) -> None:
        self.read += 0 if report["repair"] else report["read"]

    def _run(self) -> None:
        try:
            self._lane.run()
        except Exception as error:
            self._error = error
