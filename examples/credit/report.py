"""What the example ends with: a table of models beside each other, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from examples.credit import training
from examples.credit.desk import Desk
from examples.credit.model import Model
from examples.credit.quality import STEPS, Costs, Quality, reliability
from examples.credit.settings import HERE
from examples.credit.tables import HISTORY

HEAD = (
    "model",
    "PR-AUC",
    "ROC-AUC",
    "Brier",
    "miscalibration",
    "threshold",
    "approved",
    "defaults among them",
    "cost",
)
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
PICTURE = HERE / "results.png"


@dataclass(frozen=True)
class Report:
    """Rows of the table, remarks below it, and what the picture shows."""

    rows: Sequence[tuple[str, Quality]]
    remarks: Sequence[str]
    test: pd.DataFrame
    probability: np.ndarray
    tree: np.ndarray
    threshold: float
    costs: Costs

    @property
    def markdown(self) -> str:
        lines = ["| " + " | ".join(HEAD) + " |", "|---|" + "--:|" * (len(HEAD) - 1)]
        for name, q in self.rows:
            cells = [f"{v:.3f}" for v in (q.pr_auc, q.roc_auc, q.brier, q.miscalibration)]
            cells += [f"{q.threshold:.2f}", f"{q.approved:.1%}", f"{q.defaults:.1%}", f"{q.cost:.1f}"]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", *self.remarks])

    def draw(self, path: Path) -> None:
        """Write the picture: calibration, cost by threshold, predicted and actual defaults by week."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        y = self.test.loan_status.to_numpy()
        self._calibration(left, y)
        left.set(
            title="Calibration",
            xlabel="probability said",
            ylabel="share that defaulted",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        for p, name, colour in ((self.tree, "original", "#e07b00"), (self.probability, "ours", "#1f5fa8")):
            middle.plot(
                STEPS, [self.costs.of_threshold(p, self.test, t) for t in STEPS], color=colour, label=name
            )
        middle.axvline(self.threshold, color="#c62828", ls="--", lw=1, label="chosen before the test")
        middle.set(title="Cost of 1,000 dollars applied for", xlabel="threshold", ylim=(0, None))
        middle.legend(frameon=False, fontsize=8)
        weeks = self.test.event_timestamp.dt.tz_localize(None).dt.to_period("W").dt.start_time
        held = pd.DataFrame({"said": self.probability, "was": y}).groupby(weeks.to_numpy()).mean()
        right.plot(held.index, held.was, color="#333", marker="o", ms=3, label="defaulted")
        right.plot(held.index, held.said, color="#1f5fa8", label="said")
        right.set(title="Loans by week of application", ylim=(0, 0.5))
        right.tick_params(axis="x", rotation=45, labelsize=8)
        right.legend(frameon=False, fontsize=8)
        figure.savefig(path, dpi=80)

    def _calibration(self, axes: Any, y: np.ndarray) -> None:
        axes.plot([0, 1], [0, 1], color="#bbb", lw=1)
        for p, name, colour in ((self.tree, "original", "#e07b00"), (self.probability, "ours", "#1f5fa8")):
            said, was, _ = reliability(p, y)
            axes.plot(said, was, color=colour, marker="o", ms=3, label=name)
        axes.legend(frameon=False, fontsize=8)


def report(desk: Desk, model: Model) -> Report:
    """Judge the model, and others beside it, on the latest loans."""
    split, settings = desk.split, desk.settings
    desk.say(f"judging on {len(split.test):,} later loans, beside other models")
    ours, p = training.judged(model, split, settings)
    rated, _ = training.judged(training.learned(split, settings, with_rate=True), split, settings)
    tree = training.original(split, settings)
    late = training.Split.of(training.hindsight(desk.loans, desk.tables.read(HISTORY)))
    unjoined, _ = training.judged(training.learned(late, settings), split, settings)
    first, second = split.days
    costs = Costs.of(settings)
    remarks = [
        f"Learned on {len(split.learn):,} loans before {first:%Y-%m-%d}, calibrated and given its threshold on "
        f"{len(split.calibrate):,} before {second:%Y-%m-%d}, judged on the {len(split.test):,} after. "
        f"`cost` is in dollars for each 1,000 applied for, where a default loses {costs.loss:.0%} of the loan "
        f"and a good loan refused forgoes {costs.margin:.0%}; giving every loan costs "
        f"{costs.of_threshold(np.zeros(len(split.test)), split.test, 1.0):.1f}, giving none "
        f"{costs.of_threshold(np.ones(len(split.test)), split.test, 0.5):.1f}. The original's tree is right about "
        f"{tree.in_sample:.1%} of the loans it learned from, which is all that it was ever asked."
    ]
    rows = [
        ("**ours**", ours),
        ("ours, told the lender's interest rate", rated),
        ("ours, learned from the newest credit records, not those of the time", unjoined),
        ("the original's: unpruned tree, ordinal codes, 0.5", tree.quality),
    ]
    return Report(rows, remarks, split.test, p, tree.probability, model.threshold, costs)


def publish(made: Report, readme: Path = HERE / "README.md", picture: Path = PICTURE) -> None:
    """Put the table and the picture into the README."""
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{made.markdown}\n\n{END}{after}")
    made.draw(picture)
