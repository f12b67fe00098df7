"""Training: rows from history, split by time, to a version on the shelf."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from training.models import measures, picture
from training.models.card import Ahead, Card, Measures, Period, Version
from training.models.fit import Boosting, Fitted, enough, informative
from training.models.model import CARD, TREES, Model, ModelError, digest, version
from training.models.recipe import Recipe
from training.models.rows import Reader, Rows
from training.models.settings import ModelSettings
from training.models.shelf import Shelf


@dataclass(frozen=True)
class Split:
    """Which days serve which purpose: the newest `held_out` measure, `tuned` before them calibrate, the rest teach.

    `warm_up` days at the beginning of history are left out, since their windows are not whole yet.
    """

    held_out: timedelta = timedelta(days=7)
    tuned: timedelta = timedelta(days=5)
    warm_up: timedelta = timedelta(days=7)

    def period(self, first: datetime, since: datetime | None, until: datetime) -> Period:
        """The period of history from `first` on. Raises ModelError when nothing is left to learn from."""
        begin = since or first + self.warm_up
        held_out = until - self.held_out
        tuned = held_out - self.tuned
        if not begin < tuned:
            raise ModelError(
                f"from {begin:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} nothing is left to learn from: give more history, "
                "or a shorter --held-out, --tune or --from"
            )
        return Period(begin, tuned, held_out, until)


@dataclass(frozen=True)
class Candidate:
    """A model that was fitted and measured, and is on no shelf yet."""

    recipe: Recipe
    fitted: Fitted
    boosting: Boosting
    period: Period
    definitions: dict[str, Version]
    held: Rows
    model: Measures
    rule: Measures
    ahead: Ahead

    def save(self, shelf: Shelf, now: datetime) -> Card:
        """Put it on the shelf, with its card and its picture."""

        def fill(folder: Path, name: str) -> None:
            trees = bytes(self.fitted.trees.save_raw("ubj"))
            (folder / TREES).write_bytes(trees)
            card = self._card(name, digest(trees), now)
            scores = self.fitted.probability(self.held)
            picture.draw(card, self.held, scores, self.held.columns[self.recipe.rules], folder / picture.FILE)
            (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1))

        return shelf.card(shelf.add(fill))

    def _card(self, version: str, digest: str, now: datetime) -> Card:
        scores = self.fitted.probability(self.held)
        return Card(
            name=self.recipe.name,
            version=version,
            created=now,
            service=self.recipe.service,
            source=self.recipe.source,
            label=self.recipe.label,
            rules=self.recipe.rules,
            features=self.fitted.features,
            definitions=self.definitions,
            period=self.period,
            trees=self.fitted.trees.num_boosted_rounds(),
            parameters=dict(self.boosting.parameters),
            scale=self.fitted.scale,
            shift=self.fitted.shift,
            digest=digest,
            model=self.model,
            rule=self.rule,
            ahead=self.ahead,
            calibration=measures.calibration(self.held.label, scores, self.held.weight),
            scores=measures.histogram(scores, self.held.weight),
            importance=self.fitted.importance,
        )


@dataclass(frozen=True)
class Trainer:
    """Trains what a reader's recipe says."""

    reader: Reader
    settings: ModelSettings
    split: Split = field(default_factory=Split)
    boosting: Boosting = field(default_factory=Boosting)

    def train(self, since: datetime | None = None, until: datetime | None = None) -> Candidate:
        """Fit and measure on history from `since` to before `until` (None: as far as it goes). Raises TidemarkError."""
        first, last = self.reader.span()
        period = self.split.period(first, since, until or last)
        rows = self.reader.read(period.since, period.until)
        return self.fit(rows, period)

    def fit(self, rows: Rows, period: Period) -> Candidate:
        """Fit and measure on rows that were read before."""
        recipe = self.reader.recipe
        if recipe.rules not in rows.columns:
            raise ModelError(
                f"service {recipe.service} has no number {recipe.rules}: correct its tag model.rules"
            )
        learn = rows.between(period.since, period.tuned)
        tune = rows.between(period.tuned, period.held_out)
        held = rows.between(period.held_out, period.until)
        enough(held, "measure on")
        fitted = self.boosting.fit(learn, tune, self._features(learn))
        rate, score, rule = (
            self.settings.model_alert_rate,
            fitted.probability(held),
            held.columns[recipe.rules],
        )
        return Candidate(
            recipe,
            fitted,
            self.boosting,
            period,
            {view.name: version(self.reader.plan, view) for view in self.reader.plan.views},
            held,
            measures.measure(held.label, score, held.weight, rate),
            measures.measure(held.label, rule, held.weight, rate, probability=False),
            measures.ahead(held.label, score, rule, held.weight, held.entity),
        )

    def _features(self, learn: Rows) -> tuple[str, ...]:
        recipe = self.reader.recipe
        for name in recipe.features:
            if name not in learn.columns:
                raise ModelError(
                    f"service {recipe.service} has no number {name}: correct its tag model.features "
                    f"(there are {', '.join(sorted(learn.columns))})"
                )
        return recipe.features or informative(learn)


@dataclass(frozen=True)
class Contest:
    """A candidate beside the model in use, on the candidate's held-out period.

    `champion` and `ahead` are None when none is in use or it does not fit the features any more, which `remark` says.
    """

    champion: Measures | None
    ahead: Ahead | None
    remark: str

    def won(self, candidate: Candidate, certainty: float) -> bool:
        """Whether the candidate is ahead of the rules, and of the model in use."""
        rivals = [candidate.ahead] + ([self.ahead] if self.ahead else [])
        return all(rival.median > 0 and rival.certainty >= certainty for rival in rivals)


def contest(candidate: Candidate, shelf: Shelf, trainer: Trainer) -> Contest:
    """Measure the model in use on the period held out from the candidate."""
    try:
        champion = shelf.current(trainer.reader.plan)
    except ModelError as error:
        return Contest(None, None, str(error))
    if champion is None:
        return Contest(None, None, "no version is in use")
    held = candidate.held
    score = champion.probability(held.columns)
    rate = trainer.settings.model_alert_rate
    return Contest(
        measures.measure(held.label, score, held.weight, rate),
        measures.ahead(held.label, candidate.fitted.probability(held), score, held.weight, held.entity),
        _seen(champion, candidate),
    )


def _seen(champion: Model, candidate: Candidate) -> str:
    if champion.card.period.held_out > candidate.period.held_out:
        return f"version {champion.version} learnt from a part of this period, which is to its advantage"
    return ""
