"""What the example ends with: a table of both experiments beside the published numbers, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.feature_store_api.inference import Reading
from examples.feature_store_api.settings import HERE
from examples.feature_store_api.training import MEASURES, RUNS, Way

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
PICTURE = HERE / "results.png"
PUBLISHED = {
    "F1": ("0.9080", "0.8927"),
    "PR-AUC": ("-", "-"),
    "precision": ("0.9666", "0.9042"),
    "recall": ("0.8564", "0.8822"),
    "accuracy": ("0.9714", "0.9645"),
}


@dataclass(frozen=True)
class Report:
    """Both experiments; `rows` payments, of which `frauds` are frauds, were learned from and judged by."""

    library: str
    rows: int
    frauds: int
    store: Way
    raw: Way
    differing: int
    readings: Sequence[Reading]

    @property
    def markdown(self) -> str:
        """Tables and remarks."""
        return "\n".join([*self._training(), "", *self._inference()])

    def _training(self) -> list[str]:
        ways = self.store, self.raw
        rate = self.frauds / self.rows

        def cells(values: Sequence[Sequence[float]]) -> str:
            return " | ".join(f"{np.mean(v):.1f}" for v in values)

        def both(
            name: str, values: Sequence[Sequence[float]], published: tuple[str, str] = ("-", "-")
        ) -> str:
            return f"| {name} | {cells(values)} | {published[0]} | {published[1]} |"

        lines = [
            f"{self.library}, {self.rows:,} payments, {rate:.2%} of them frauds, means of {RUNS} runs.",
            "",
            "| training | with the store | without | published: with | without |",
            "|---|--:|--:|--:|--:|",
            both("features computed ahead, for all models, s", [[w.ahead] for w in ways], ("left out", "-")),
            both(
                "features read or computed, each run, s", [w.features for w in ways], ("left out", "451.29")
            ),
            both("training alone, s", [w.training for w in ways], ("118.38", "76.34")),
            both(
                "**a run, features computed ahead left out, s**",
                [np.add(w.features, w.training) for w in ways],  # type: ignore[misc]
            ),
            both(
                "**a run, everything, s**",
                [np.add(w.features, w.training) + w.ahead for w in ways],  # type: ignore[misc]
                ("-", "527.71"),
            ),
        ]
        for name in MEASURES:
            means = [
                f"{np.mean([m[name] for m in w.measures]):.4f} ± {np.std([m[name] for m in w.measures]):.4f}"
                for w in ways
            ]
            lines.append(
                f"| {name} | {means[0]} | {means[1]} | {PUBLISHED[name][0]} | {PUBLISHED[name][1]} |"
            )
        values = self.rows * 10
        return [
            *lines,
            "",
            f"Feature values that differ between the two ways: {self.differing:,} of {values:,}.",
        ]

    def _inference(self) -> list[str]:
        lines = [
            "| features of cards as of now | from the store | of raw payments | differing values | the network |",
            "|---|--:|--:|--:|--:|",
        ]
        for r in self.readings:
            shown = [f"{1_000 * np.median(v):,.1f} ms" for v in (r.store, r.raw, r.network)]
            lines.append(
                f"| {r.cards:,} | {shown[0]} | {shown[1]} | {r.differing} of {r.values:,} | {shown[2]} |"
            )
        return [*lines, "| published, up to 100,000 rows | 0.97 s | 25.92 s | - | 0.02 s |"]

    def draw(self, path: Path) -> None:
        """Write the picture: a run's seconds, quality run by run, reading times by the number of cards."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        names, ways = ("with the store", "without"), (self.store, self.raw)
        below = np.zeros(2)
        for label, colour, values in (
            ("features ahead", "#b7cbe3", [w.ahead for w in ways]),
            ("features, each run", "#5b8cc4", [np.mean(w.features) for w in ways]),
            ("training", "#1f3f6b", [np.mean(w.training) for w in ways]),
        ):
            left.bar(names, values, bottom=below, color=colour, label=label, width=0.6)
            below += values
        left.set(title="A run, seconds")
        left.legend(frameon=False, fontsize=8)
        for shift, way, colour in ((-0.17, self.store, "#1f5fa8"), (0.17, self.raw, "#e07b00")):
            for i, name in enumerate(("F1", "PR-AUC")):
                held = [m[name] for m in way.measures]
                middle.bar(i + shift, np.mean(held), 0.3, color=colour, alpha=0.35)
                middle.plot([i + shift] * len(held), held, "o", ms=4, color=colour)
        middle.set(title="On later payments, at the real rate", ylim=(0, 1))
        middle.set_xticks([0, 1], ["F1", "PR-AUC"])
        cards = [r.cards for r in self.readings]
        for name, colour in (("store", "#1f5fa8"), ("raw", "#e07b00")):
            shown = [1_000 * float(np.median(getattr(r, name))) for r in self.readings]
            label = "with the store" if name == "store" else "of raw payments"
            right.plot(cards, shown, color=colour, marker="o", ms=4, label=label)
        right.set(title="Features as of now, ms", xlabel="cards", xscale="log", yscale="log")
        right.legend(frameon=False, fontsize=8)
        figure.savefig(path, dpi=80)


def publish(made: Report, readme: Path = HERE / "README.md", picture: Path = PICTURE) -> None:
    """Put the tables and the picture into the README."""
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{made.markdown}\n\n{END}{after}")
    made.draw(picture)
