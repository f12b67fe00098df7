"""The example's results as a table, as a picture, and in its README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from examples.card_fraud.delays import Worth
from examples.card_fraud.learning import Learnt
from examples.card_fraud.predictions import Scored
from examples.card_fraud.settings import HERE, CardSettings
from examples.card_fraud.threshold import Costs
from training.models.card import Measures

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
MODEL, RULES = "#1f5fa8", "#e07b00"


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    settings: CardSettings
    payments: int
    frauds: int
    learnt: Learnt
    worth: Sequence[Worth]
    scored: Sequence[Scored]

    def markdown(self) -> str:
        """The tables."""
        found = self.learnt.candidate
        held, period = found.model, found.period
        lines = [
            f"{self.payments:,} payments in {self.settings.days} days, {self.frauds:,} of them fraud; held out: the last "
            f"{(period.until - period.held_out).days} days with {held.rows:,} payments, {held.positives:,} of them fraud.",
            "",
            "| held-out weeks | PR-AUC | recall at 0.5 % alerts | precision there |",
            "|---|---|---|---|",
            _measures("XGBoost, ratios and aggregates", found.model),
            _measures("XGBoost, the original's 4 inputs", self.learnt.four),
            _measures("`card_rule`: payments in 10 minutes", found.rule),
            "",
            "| threshold | alarms a day | precision | recall | dollars lost a day |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {d.name}: {d.threshold:.3f} | {d.alarms:.1f} | {d.precision:.1%} | {d.recall:.1%} | {d.cost:,.0f} |"
            for d in self.learnt.decisions
        ]
        lines += [
            "",
            "| 10-minute features older by | PR-AUC | recall | PR-AUC, trained on such | recall, trained on such |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {w.delay} | {w.pr_auc:.3f} | {w.recall:.1%} | {w.pr_auc_trained:.3f} | {w.recall_trained:.1%} |"
            for w in self.worth
        ]
        lines += [
            "",
            "| live | amount | payments in 10 min | probability | on the lane | after | at 0.25 | at least cost |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for number, one in enumerate(self.scored):
            name = f"card {number + 1}" if number < 3 else f"card 4, rapid payment {number - 2}"
            count = int(one.features["num_trans_last_10m"] or 0) + 1
            flags = ["fraud" if one.probability >= d.threshold else "" for d in self.learnt.decisions]
            lines.append(
                f"| {name} | {one.amount:.2f} | {count} | {one.probability:.3f} | {_streamed(one)} | {flags[0]} | {flags[1]} |"
            )
        return "\n".join(lines)

    def draw(self, file: Path) -> None:
        """Precision and recall, cost by threshold, and the worth of freshness."""
        figure = Figure(figsize=(14, 4.2), layout="constrained")
        ranking, cost, fresh = figure.subplots(1, 3)
        held, score = self.learnt.candidate.held, self.learnt.probability
        rules = held.columns[self.learnt.candidate.recipe.rules]
        for name, values, colour in (("XGBoost", score, MODEL), ("card_rule", rules, RULES)):
            precision, recall, _ = precision_recall_curve(held.label, values, sample_weight=held.weight)
            ranking.plot(recall, precision, color=colour, label=name, drawstyle="steps-post")
        for decision, mark in zip(self.learnt.decisions, "os", strict=True):
            ranking.plot(
                decision.recall,
                decision.precision,
                mark,
                color="black",
                label=f"{decision.name} {decision.threshold:.2f}",
            )
        ranking.set(xlabel="recall", ylabel="precision", title="Two weeks that the model did not see")
        costs = Costs(self.settings.alarm_cost, self.settings.fraud_cost)
        thresholds, dollars = costs.curve(held.label, held.columns["amount"], held.weight, score)
        days = (self.learnt.candidate.period.until - self.learnt.candidate.period.held_out).days
        shown = np.isfinite(thresholds)
        cost.plot(thresholds[shown], dollars[shown] / days, color=MODEL, label="held-out weeks")
        for decision, mark in zip(self.learnt.decisions, "os", strict=True):
            cost.plot(
                decision.threshold,
                decision.cost,
                mark,
                color="black",
                label=f"{decision.name} {decision.threshold:.2f}",
            )
        cost.set(xlabel="threshold", ylabel="dollars lost a day", title="What a threshold costs")
        cost.set_ylim(0, dollars[0] / days * 1.6)
        names = [w.delay for w in self.worth]
        fresh.plot(names, [w.pr_auc for w in self.worth], "o-", color=MODEL, label="same model, PR-AUC")
        fresh.plot(names, [w.recall for w in self.worth], "o--", color=MODEL, label="same model, recall")
        fresh.plot(
            names, [w.pr_auc_trained for w in self.worth], "s-", color=RULES, label="trained on such, PR-AUC"
        )
        fresh.plot(
            names, [w.recall_trained for w in self.worth], "s--", color=RULES, label="trained on such, recall"
        )
        fresh.set(xlabel="10-minute features are older by", ylim=(0, 1), title="What freshness is worth")
        for axes in (ranking, cost, fresh):
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
        figure.savefig(file, dpi=90)


def _streamed(one: Scored) -> str:
    if one.streamed is None or one.after is None:
        return "- | -"
    return f"{one.streamed:.3f} | {1000 * one.after:.0f} ms"


def _measures(name: str, m: Measures) -> str:
    return f"| {name} | {m.pr_auc:.3f} | {m.recall:.1%} | {m.precision:.1%} |"


def publish(results: Results, picture: Path, readme: Path = HERE / "README.md") -> None:
    """Put the tables between the README's marks, and the picture beside it."""
    text = readme.read_text()
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    readme.write_text(f"{head}{BEGIN}\n{results.markdown()}\n{END}{tail}")
    (readme.parent / "results.png").write_bytes(picture.read_bytes())
