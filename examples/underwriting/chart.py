"""The picture of a run: what tiers were worth, a burst of payments as it is seen, latencies beside their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from examples.underwriting.benchmark import Timing
from examples.underwriting.outcomes import Group, Referrals
from streaming.errors import TidemarkError

MARKS = "<!-- results -->", "<!-- end of results -->"
BLUE, ORANGE, GREY = "#1f5fa8", "#e07b00", "#999999"


@dataclass(frozen=True)
class Payment:
    """One payment of a burst as the next one sees it: the customer's payments in an hour, and the score."""

    number: int
    count: int
    score: float
    decision: str
    seconds: float
    """From sending it to its being counted in a read."""


@dataclass(frozen=True)
class Results:
    """What a run found. `windows` are (compared, equal) values of stream and batch; `load` is how many programs wanted
    one of `cores` while latencies were measured."""

    decisions: Sequence[Group]
    tiers: Sequence[Group]
    mended: Referrals
    original: Referrals
    burst: Sequence[Payment]
    timings: Sequence[Timing]
    windows: tuple[int, int]
    load: float
    cores: int
    seconds: float


def draw(results: Results, path: Path) -> None:
    """Write the picture (the suffix says whether PNG or SVG)."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), dpi=90, layout="constrained")
    _tiers(axes[0][0], results.tiers)
    _referred(axes[0][1], results)
    _burst(axes[1][0], results.burst)
    _latency(axes[1][1], results.timings)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_fontsize(10)
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    plt.close(figure)


def _tiers(axis: plt.Axes, groups: Sequence[Group]) -> None:
    axis.set_title("Applicants who filed a claim within 180 days, by tier")
    held = [group for group in groups if group.count]
    bars = axis.bar([g.name.replace("_", "\n") for g in held], [100 * g.claimed for g in held], color=BLUE)
    axis.bar_label(bars, [f"{100 * g.claimed:.0f} % of {g.count}" for g in held], fontsize=8)
    axis.set_ylabel("percent")


def _referred(axis: plt.Axes, results: Results) -> None:
    axis.set_title("Claims referred to investigators")
    pairs = (
        ("share of all claims", "share"),
        ("share of frauds found", "recall"),
        ("frauds among referred", "precision"),
    )
    for shift, (found, colour, name) in enumerate(
        (
            (results.original, GREY, "provider score 0 to 30"),
            (results.mended, BLUE, "0 to 1, as the formula wants"),
        )
    ):
        values = [100 * getattr(found, field) for _, field in pairs]
        bars = axis.bar([i + 0.38 * shift for i in range(3)], values, 0.36, color=colour, label=name)
        axis.bar_label(bars, [f"{v:.0f}" for v in values], fontsize=8)
    axis.set_xticks([0.19, 1.19, 2.19], [text for text, _ in pairs], fontsize=8)
    axis.set_ylabel("percent")
    axis.legend(fontsize=8, frameon=False)


def _burst(axis: plt.Axes, burst: Sequence[Payment]) -> None:
    axis.set_title("A customer pays again and again: the next payment's score")
    numbers = [p.number for p in burst]
    axis.plot(numbers, [p.score for p in burst], "o-", color=ORANGE, label="combined_fraud_score")
    axis.plot(numbers, [p.count for p in burst], "s--", color=BLUE, label="payments in 1 h", markersize=4)
    for i, payment in enumerate(burst):
        if i == 0 or payment.decision != burst[i - 1].decision:
            axis.annotate(
                payment.decision,
                (payment.number, payment.score),
                (0, 7),
                textcoords="offset points",
                fontsize=8,
            )
    axis.set_xlabel("payments sent")
    axis.legend(fontsize=8, frameon=False)


def _latency(axis: plt.Axes, timings: Sequence[Timing]) -> None:
    axis.set_title(f"Feature server: {timings[0].service}, {timings[0].concurrency} callers")
    rows = [t.batch for t in timings]
    axis.loglog(rows, [t.p50 for t in timings], "o-", color=BLUE, label="p50")
    axis.loglog(rows, [t.p99 for t in timings], "o-", color=ORANGE, label="p99")
    targets = [(t.batch, t.target) for t in timings if t.target]
    axis.loglog(*zip(*targets, strict=True), "k_", markersize=16, label="target of p99")
    axis.set_xlabel("rows of a request")
    axis.set_ylabel("ms")
    axis.legend(fontsize=8, frameon=False)


def text(results: Results) -> str:
    """The results as Markdown tables."""
    compared, equal = results.windows
    fresh = sorted(p.seconds for p in results.burst if p.seconds)
    lines = [
        "| decision | applications | filed a claim within 180 days | mean loss |",
        "|---|---:|---:|---:|",
    ]
    lines += [f"| {g.name} | {g.count} | {_percent(g)} | {_dollars(g)} |" for g in results.decisions]
    lines += ["", "| service | rows | p50 ms | p99 ms | target | |", "|---|---:|---:|---:|---:|---|"]
    lines += [
        f"| {t.service} | {t.batch} | {t.p50:.1f} | {t.p99:.1f} | {t.target or ''} | "
        f"{'' if t.met is None else 'met' if t.met else 'missed'} |"
        for t in results.timings
    ]
    lines += [
        "",
        f"- Claims referred to investigators: {results.mended.share:.0%} "
        f"({results.original.share:.0%} with providers' scores on the original's scale).",
        f"- Windows of years, computed from the stream: {equal:,} of {compared:,} values equal the batch table's.",
        f"- A burst of {len(results.burst) - 1} payments: score {results.burst[0].score:.0f} "
        f"({results.burst[0].decision}) to {results.burst[-1].score:.0f} ({results.burst[-1].decision}); each payment "
        f"was counted after {fresh[len(fresh) // 2]:.1f} s (median).",
        f"- Everything took {results.seconds:.0f} s. While latencies were measured, {results.load:.0f} programs wanted one of "
        f"{results.cores} cores.",
    ]
    return "\n".join(lines) + "\n"


def publish(results: Results, page: Path) -> None:
    """Put the tables between the marks of a page. Raises TidemarkError where there are none."""
    before, mark, rest = page.read_text().partition(MARKS[0] + "\n")
    _, end, after = rest.partition(MARKS[1])
    if not (mark and end):
        raise TidemarkError(f"{page} has no {MARKS[0]} and {MARKS[1]}: put them where the tables belong")
    page.write_text(before + mark + text(results) + end + after)


def _percent(group: Group) -> str:
    return f"{group.claimed:.0%}" if group.count else "-"


def _dollars(group: Group) -> str:
    return f"{group.loss:,.0f}" if group.count else "-"
