"""The credit desk: tables, Feast repo and model, each made when it is missing or out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd
from feast import FeatureStore

from examples.credit import features, tables, training
from examples.credit.decision import Application, Decision, decide
from examples.credit.features import Record
from examples.credit.model import Model, NoModel
from examples.credit.settings import CreditSettings
from examples.credit.tables import HISTORY, LOANS, Tables
from examples.credit.tokens import token
from tidemark.services.redis import RedisServer

BEGINNING = datetime(2017, 1, 1, tzinfo=UTC)
Say = Callable[[str], None]


@dataclass
class Desk:
    """Decides on applications; `say` hears what takes a while."""

    settings: CreditSettings
    tables: Tables
    store: FeatureStore
    say: Say = lambda _: None

    @cached_property
    def loans(self) -> pd.DataFrame:
        """Past loans with the features as they were known at each one's moment."""
        self.say("joining loans with the features as of each application")
        table = self.tables.read(LOANS).drop(columns="created_timestamp")
        joined = features.past(self.store, table)
        return joined.drop(columns=[c for c in joined if c.startswith("created_timestamp")])

    @cached_property
    def split(self) -> training.Split:
        return training.Split.of(self.loans)

    def trained(self) -> Model:
        """The model of these loans and settings: the one kept, else a new one, which is then kept."""
        wanted = training.digest(self.loans, self.settings)
        try:
            held = Model.load(self.settings.models)
        except NoModel as missing:
            self.say(str(missing).split(":", 1)[0])
        else:
            if held.about["digest"] == wanted:
                return held
            self.say("the model is of other loans or settings")
        self.say(f"training on {len(self.split.learn):,} loans")
        model = training.learned(self.split, self.settings, digest=wanted)
        model.save(self.settings.models)
        return model

    def decide(
        self, model: Model, given: Mapping[str, Any], today: datetime | None = None
    ) -> tuple[Decision, Record]:
        """The decision on an application, at `today` (UTC; without one the day after the newest loan), and
        the features it rests on. Raises TidemarkError for what cannot be decided on."""
        application = Application.of(given)
        key = self.settings.token_key.get_secret_value()
        record = features.now(
            self.store, token(application.dob_ssn, key), application.zipcode, application.model_dump()
        )
        stale = timedelta(days=self.settings.stale_days)
        return decide(model, application, record, today or self.today, stale), record

    @cached_property
    def today(self) -> datetime:
        """The day after the newest loan: the example's present."""
        newest = self.tables.read(LOANS).event_timestamp.max().to_pydatetime()
        return newest.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


@contextmanager
def desk(settings: CreditSettings, redis: str | None = None, say: Say = lambda _: None) -> Iterator[Desk]:
    """A desk with its features online: in the Redis at `redis` (host:port), else in one of its own, which is stopped
    at the end. Raises TidemarkError."""
    say("making loans, credit records and zip codes")
    held = tables.build(settings)
    server = None
    if redis is None:
        server = RedisServer(settings.folder / "redis", 0)
        redis = server.start(server.settings.start_timeout).address
    try:
        store = features.local(settings.folder / "repo", redis)
        features.register(store)
        made = Desk(settings, held, store, say)
        _fill(made, redis if server is None else "")
        yield made
    finally:
        if server is not None:
            server.stop()


def _fill(made: Desk, redis: str) -> None:
    """Fill the online store, unless it holds these tables already."""
    note, wanted = made.settings.folder / "filled.txt", f"{redis} {made.tables.stamp}"
    if note.is_file() and note.read_text() == wanted:
        return
    made.say("filling the online store")
    features.fill(made.store, BEGINNING, made.tables.read(HISTORY).event_timestamp.max().to_pydatetime())
    note.write_text(wanted)
