"""What the commands say of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from training.models.card import Ahead, Card, Measures


def compare(console: Console, title: str, scores: Mapping[str, Measures]) -> None:
    """Scores beside each other, on one period."""
    first = next(iter(scores.values()))
    console.print(f"{title}: {first.rows:,} events, {first.positives:,} positives ({first.rate:.3%})")
    rate = f"at {first.alert_rate:.1%} alerts"
    table = Table(box=None, pad_edge=False)
    table.add_column("score", overflow="fold")
    for column in (
        "PR-AUC",
        f"recall {rate}",
        f"precision {rate}",
        "from score",
        "Brier",
        "calibration error",
    ):
        table.add_column(column, justify="right")
    for name, m in scores.items():
        shown = (m.brier, m.calibration_error)
        table.add_row(
            name,
            f"{m.pr_auc:.3f}",
            f"{m.recall:.1%}",
            f"{m.precision:.1%}",
            f"{m.threshold:.3f}",
            *("-" if value is None else f"{value:.5f}" for value in shown),
        )
    console.print(table)


def lead(ahead: Ahead) -> str:
    """A difference of PR-AUC in words."""
    return f"{ahead.median:+.3f} PR-AUC (90 % interval {ahead.low:+.3f} to {ahead.high:+.3f}, ahead in {ahead.certainty:.0%})"


def calibration(console: Console, card: Card) -> None:
    """Predicted and true rates by bins of probability."""
    table = Table(title="calibration on the held-out period", box=None, pad_edge=False, title_justify="left")
    for column in ("probability", "events %", "predicted", "true"):
        table.add_column(column, justify="right")
    for b in card.calibration:
        if b.predicted is not None and b.true is not None:
            table.add_row(
                f"{b.low:g} to {b.high:g}", f"{100 * b.share:.3f}", f"{b.predicted:.4f}", f"{b.true:.4f}"
            )
    console.print(table)


def listed(name: str, cards: Sequence[Card], promoted: str | None) -> Table:
    """All versions of a model; the one in use is marked."""
    table = Table(title=f"model {name}", box=None, pad_edge=False, title_justify="left")
    for column in ("  version", "made", "learnt from", "held out"):
        table.add_column(column, no_wrap=True)
    for column in ("PR-AUC", "rules", "recall"):
        table.add_column(column, justify="right", no_wrap=True)
    for card in cards:
        period = card.period
        table.add_row(
            f"{'*' if card.version == promoted else ' '} {card.version}",
            f"{card.created:%Y-%m-%d}",
            f"{period.since:%Y-%m-%d}..{period.held_out:%m-%d}",
            f"{period.held_out:%Y-%m-%d}..{period.until:%m-%d}",
            f"{card.model.pr_auc:.3f}",
            f"{card.rule.pr_auc:.3f}",
            f"{card.model.recall:.1%}",
        )
    return table
