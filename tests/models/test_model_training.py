"""Training from stored events by Spark, and the commands around it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pay_repo
import pytest
from feast_repos import ROOT, applied
from oracle import feature_value

from streaming import definitions
from streaming.errors import DefinitionError, TidemarkError
from streaming.history.store import StoreSettings
from tidemark.cli import app
from training import models
from training.models.model import ModelError
from training.models.recipe import Recipe, recipe
from training.models.rows import Reader
from training.models.settings import ModelSettings
from training.models.trainer import Split

DAY = timedelta(days=1)
END = pay_repo.START + pay_repo.DAYS * DAY


@dataclass
class Paid:
    """A repo with history; `run` calls the command in this process, with this session's Spark."""

    folder: Path
    spark: Any
    events: list[dict[str, Any]]
    monkeypatch: pytest.MonkeyPatch

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings.model_validate({"history": str(self.folder / "history"), "history_tasks": 2})

    def reader(self, most: int = 10_000) -> Reader:
        store = definitions._open(self.folder / "repo")
        return Reader.of(store, recipe(store, "payments"), self.spark, self.settings, most)

    def run(self, command: str, *words: str) -> None:
        self.monkeypatch.setattr(
            "streaming.history.sessions.session", lambda *_: contextlib.nullcontext(self.spark)
        )
        places = ["--history", str(self.folder / "history"), "--models", str(self.folder / "models")]
        repo = ["--repo", str(self.folder / "repo")]
        app([command, "payments", *repo, *places, *words], standalone_mode=False)


@pytest.fixture(scope="module")
def paid(tmp_path_factory, spark):
    folder, events = tmp_path_factory.mktemp("paid"), pay_repo.make()
    pay_repo.apply(folder / "repo")
    pay_repo.keep(spark, folder / "history", events)
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Paid(folder, spark, events, monkeypatch)


def test_rows_are_what_was_served_at_their_events(paid):
    since = pay_repo.START + 8 * DAY
    rows = paid.reader(most=600).read(since, END)
    events = [event for event in paid.events if event["at"] >= since]
    frauds = sum(event["is_fraud"] for event in events)
    assert rows.label.sum() == frauds
    assert 500 < len(rows) < 700
    assert rows.weight.sum() == pytest.approx(len(events), rel=0.15)
    assert (np.diff(rows.time) >= 0).all()
    assert set(rows.columns) == {
        "count_10m",
        "mean_7d",
        "max_7d",
        "size_score",
        "amount",
        "event_included",
        "previous_max_7d",
    }
    assert (rows.columns["event_included"] == 1).all()
    by_time = {round(event["at"].timestamp() * 1e6): event for event in events}
    for i in range(0, len(rows), 29):
        event = by_time[int(rows.time[i])]
        held = [
            (round(e["at"].timestamp() * 1e6), e["_partition"], e["_offset"], {"amount": e["amount"]})
            for e in paid.events
            if e["user_id"] == event["user_id"] and e["at"] <= event["at"]
        ]

        def value(function: str, length: int, slide: int, held=held, t=int(rows.time[i])) -> float:
            found = feature_value(held, function, "amount", length * 10**6, slide * 10**6, t)
            return np.nan if found is None else found

        assert rows.label[i] == event["is_fraud"]
        assert rows.columns["amount"][i] == event["amount"]
        assert rows.columns["count_10m"][i] == value("count", 600, 60)
        assert rows.columns["mean_7d"][i] == pytest.approx(value("mean", 604_800, 3_600))
        before = value("max", 604_800, 3_600, held=held[:-1])
        np.testing.assert_equal(rows.columns["previous_max_7d"][i], before)
        assert rows.columns["size_score"][i] == pytest.approx(
            event["amount"] / (1e9 if np.isnan(before) else before)
        )


def test_train_promote_retrain(paid, capsys):
    words = ["--held-out", "5", "--tune", "4"]
    paid.run("train", *words, "--to", "2026-03-24", "--promote")
    shown = " ".join(capsys.readouterr().out.split())
    assert "ahead of the rules by +0." in shown
    assert "in use from now on" in shown
    reader = paid.reader()
    model = models.current(paid.folder / "models", "payments", reader.plan)
    assert model is not None
    card = model.card
    assert card.period.held_out == datetime(2026, 3, 19, tzinfo=UTC)
    assert card.model.pr_auc > 2 * card.rule.pr_auc
    assert not {"is_fraud", "event_included"} & set(card.features)
    assert next(iter(card.importance)) == "count_10m"
    assert (paid.folder / "models" / "payments" / "1" / "report.png").read_bytes()[:4] == b"\x89PNG"
    # The model in use is as good as a new one: the new one stays on the shelf.
    paid.run("retrain", *words, "--json")
    result = json.loads(capsys.readouterr().out)
    assert (result["champion"], result["promoted"]) == ("1", False)
    assert result["contest"]["champion"]["rows"] == result["card"]["model"]["rows"]
    shelf = models.Shelf(paid.folder / "models", "payments")
    assert (shelf.versions(), shelf.promoted) == (["1", "2"], "1")
    assert shelf.card("2").period.until > card.period.until
    app(["models", "list", "--models", str(paid.folder / "models")], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if line[:1] in "* " and " 2026" in line] == [
        ["*", "1"],
        ["2", f"{datetime.now(UTC):%Y-%m-%d}"],
    ]
    # Another definition of a view, and the model is refused.
    pay_repo.apply(paid.folder / "other", column="is_fraud")
    other = definitions.load(paid.folder / "other", None, paid.spark)
    with pytest.raises(
        ModelError, match="view user_payments has changed since it was trained; run `tidemark retrain"
    ):
        models.current(paid.folder / "models", "payments", other)
    # A definition without Spark knows less, and enough here.
    assert models.current(paid.folder / "models", "payments", definitions.load(paid.folder / "repo"))


def test_a_view_that_reads_the_label_is_refused(paid, tmp_path):
    pay_repo.apply(tmp_path / "repo", column="is_fraud")
    store = definitions._open(tmp_path / "repo")
    with pytest.raises(
        DefinitionError, match="view user_payments reads is_fraud, the label of model payments"
    ):
        Reader.of(store, recipe(store, "payments"), paid.spark, paid.settings, 100)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        (None, pay_repo.START + 15 * DAY, "nothing is left to learn from: give more history"),
        (END - 12.5 * DAY, END, "positives among"),
    ],
)
def test_too_little_history_is_refused(since, until, words):
    split = Split()
    if since is None:
        with pytest.raises(ModelError, match=words):
            split.period(pay_repo.START, since, until)
    else:
        assert split.period(pay_repo.START, since, until).since == since


def test_a_recipe_needs_its_tags(tmp_path):
    store = pay_repo.apply(tmp_path / "repo", tags={"model": "payments", "model.source": "payments"})
    with pytest.raises(
        DefinitionError, match=r"service paying is a model's and has no tag model\.label: add it"
    ):
        recipe(store, "payments")
    store = pay_repo.apply(tmp_path / "two")
    with pytest.raises(
        DefinitionError, match="no feature service has the tag model: loans: choose from payments"
    ):
        recipe(store, "loans")


def test_the_shipped_repo_has_a_recipe(tmp_path):
    store = definitions._open(applied(ROOT / "feature_repo", tmp_path / "repo"))
    found = recipe(store, "transactions")
    assert found == Recipe(
        "transactions", "transaction_scoring", "transactions_stream", "is_fraud", "composite_fraud_score"
    )


def test_no_history_and_wrong_moments_are_refused(paid, tmp_path):
    empty = StoreSettings.model_validate({"history": str(tmp_path)})
    store = definitions._open(paid.folder / "repo")
    reader = Reader.of(store, recipe(store, "payments"), paid.spark, empty, ModelSettings().model_rows)
    with pytest.raises(TidemarkError, match="run `tidemark stream history` first"):
        reader.span()
    with pytest.raises(TidemarkError, match="'soon' is no moment"):
        paid.run("train", "--from", "soon")
