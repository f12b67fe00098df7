"""Saving, loading, promoting and refusing models."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
import small_model
from small_model import NOW, candidate, plan, rows, saved

from tidemark.cli import app, main
from training import models
from training.models.fit import Boosting
from training.models.model import ModelError
from training.models.shelf import names


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("models"), 3)[0]


def test_what_is_loaded_predicts_as_what_was_saved(tmp_path):
    shelf, card = saved(tmp_path)
    assert models.current(tmp_path, "small") is None
    shelf.promote(card.version, NOW)
    model = models.current(tmp_path, "small", plan())
    held = rows(9)
    expected = candidate().fitted.probability(held)
    np.testing.assert_allclose(model.probability(held.columns), expected, rtol=1e-5)
    with_none = {name: column[:20].astype(object) for name, column in held.columns.items()}
    with_none["x"][np.isnan(held.columns["x"][:20])] = None
    np.testing.assert_allclose(model.probability(with_none), expected[:20], rtol=1e-5)
    assert (model.name, model.version, model.features) == ("small", "1", ("x", "z"))
    assert card.model.pr_auc > card.rule.pr_auc
    # Probabilities are rates: in every bin with rows enough they differ little.
    for b in card.calibration:
        if b.share > 0.03:
            assert b.predicted == pytest.approx(b.true, abs=0.12)


def test_columns_that_do_not_fit_are_refused(shelf):
    shelf.promote("1", NOW)
    model = shelf.current()
    with pytest.raises(
        ModelError, match="model small 1 needs z, which is not among the features: serve serving whole"
    ):
        model.probability({"x": np.zeros(1)})
    with pytest.raises(ModelError, match="cannot read z as numbers"):
        model.probability({"x": np.zeros(1), "z": np.array(["high"])})
    with pytest.raises(ModelError, match="cannot read z as numbers"):
        model.probability({"x": np.zeros(3), "z": np.zeros(2)})


def test_a_changed_definition_is_refused(shelf):
    shelf.promote("1", NOW)
    assert shelf.current(plan()) is not None
    with pytest.raises(
        ModelError, match="model small 1 does not fit: view v has changed since it was trained"
    ):
        shelf.current(plan("price"))
    none = plan().__class__("tests", plan().sources, ())
    with pytest.raises(ModelError, match="view v is not in the plan; run `tidemark retrain small`"):
        shelf.current(none)


def test_promotions_are_a_stack(tmp_path):
    shelf, _ = saved(tmp_path, 3)
    for number, version in enumerate("123"):
        shelf.promote(version, NOW + timedelta(hours=number))
    assert shelf.rollback(NOW) == "2"
    assert shelf.rollback(NOW) == "1"
    with pytest.raises(ModelError, match="no earlier version to go back to"):
        shelf.rollback(NOW)
    shelf.promote("3", NOW)
    assert shelf.rollback(NOW) == "1"
    assert [step.version for step in shelf.promotions().steps] == ["1", "2", "3", "2", "1", "3", "1"]
    assert shelf.promotions().steps[3].why == "rollback of 3"


def test_a_damaged_model_is_refused_and_not_promoted(tmp_path):
    shelf, card = saved(tmp_path)
    trees = shelf.folder / card.version / "trees.ubj"
    whole = trees.read_bytes()
    trees.write_bytes(whole[:-9])
    with pytest.raises(
        ModelError, match="is not the file that was saved: train it again, or promote another"
    ):
        shelf.promote("1", NOW)
    assert shelf.promoted is None
    trees.write_bytes(whole)
    (shelf.folder / "1" / "card.json").write_text('{"name": 1}')
    with pytest.raises(ModelError, match="cannot be read"):
        shelf.promote("1", NOW)
    with pytest.raises(ModelError, match="model small has no version 7: choose from 1"):
        shelf.promote("7", NOW)
    with pytest.raises(ModelError, match=r"cannot be a model's name"):
        models.current(tmp_path, "../small")


def test_two_trainings_at_once_get_two_versions(tmp_path):
    shelf, made = models.Shelf(tmp_path, "small"), candidate()
    with ThreadPoolExecutor(4) as pool:
        cards = list(pool.map(lambda _: made.save(shelf, NOW), range(4)))
    assert sorted(card.version for card in cards) == shelf.versions() == ["1", "2", "3", "4"]
    assert not list(shelf.folder.glob("*.tmp"))
    assert names(tmp_path) == ["small"]
    assert names(tmp_path / "none") == []


def test_few_positives_teach_nothing():
    few = rows(0, size=15)
    with pytest.raises(
        ModelError, match=r"positives among 15 events to learn from: give at least 10 of either kind"
    ):
        Boosting().fit(few, rows(1), ("x",))


def test_the_commands(shelf, capsys):
    where = ["--models", str(shelf.folder.parent)]
    for version in "12":
        app(["models", "promote", "small", version, *where], standalone_mode=False)
    app(["models", "rollback", "small", *where], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-1] == "version 1 of model small is in use"
    app(["models", "list", "--json", *where], standalone_mode=False)
    (held,) = json.loads(capsys.readouterr().out)
    assert (held["model"], held["promoted"]) == ("small", "1")
    assert [card["version"] for card in held["versions"]] == ["1", "2", "3"]
    with pytest.raises(SystemExit):
        main(["models", "promote", "small", "9", *where])
    assert "model small has no version 9: choose from 1, 2, 3" in capsys.readouterr().err
    assert small_model.RECIPE.name == "small"
