"""tidemark quality: nulls, quantiles and drift of the stored features, day by day."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streaming.errors import TidemarkError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.definitions.thresholds import Thresholds
    from streaming.history.quality import Period, Quality
    from streaming.plan import Plan

MARKS = "▁▂▃▄▅▆▇█"
SHOWN = {"p1": 1, "p5": 2, "p25": 3, "p50": 4, "p75": 5, "p95": 6, "p99": 7}
Rules = Mapping[str, Mapping[str, "Thresholds"]]


def command(
    repo: Path = typer.Option(Path("feature_repo"), "--repo", help="Folder of the Feast repo"),
    views: str = typer.Option("", "--views", help="Only these views, separated by commas"),
    since: str = typer.Option(
        "", "--from", help="First day, such as 2026-01-31 [default: the first there is]"
    ),
    until: str = typer.Option("", "--to", help="The day after the last [default: all there is]"),
    baseline: str = typer.Option(
        "",
        "--baseline",
        help="FROM..TO, without TO: the days to compare with [default: the seven before --from]",
    ),
    history: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
    days: bool = typer.Option(False, "--days", help="List every day instead of the last one and the trend"),
    plot: Path | None = typer.Option(None, "--plot", metavar="FILE.svg", help="Draw all kept days"),
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON"),
) -> None:
    """Measure the stored features, day by day, against a baseline and the thresholds of their tags.

    Reads what `tidemark backfill` wrote. Exits with 1 when a threshold is broken; results are kept.
    """
    if plot and plot.suffix != ".svg":
        raise TidemarkError(
            f"{plot} is no SVG file, and no other is drawn: name it {plot.with_suffix('.svg')}"
        )
    first, last = (_day(text) if text else None for text in (since, until))
    against = _period(baseline) if baseline else None
    from streaming.definitions import load, thresholds
    from streaming.history import quality
    from streaming.history.sessions import session
    from streaming.history.store import StoreSettings
    from tidemark.jars import spark_jars

    plan = load(repo, [v.strip() for v in views.split(",") if v.strip()] or None)
    rules = thresholds.load(repo, plan)
    settings = StoreSettings.model_validate({"history": history} if history else {})
    root = settings.history
    with session("quality", settings, spark_jars) as spark:
        results, missing = _measured(spark, root, plan, first, last, against, bool(views))
    quality.keep(root, results)
    broken = find(results, rules)
    if plot:
        from tidemark.quality_sheet import sheet

        seen = {result.view for result in results}
        trend = [held for view in plan.views if view.name in seen for held in quality.kept(root, view.name)]
        plot.write_text(sheet(trend, rules).svg())
    if as_json:
        typer.echo(
            json.dumps({"quality": [_plain(q) for q in results], "broken": broken, "missing": missing})
        )
    else:
        _show(results, broken, missing, days)
    if broken:
        raise typer.Exit(1)


def _measured(
    spark: SparkSession,
    root: str,
    plan: Plan,
    first: date | None,
    last: date | None,
    against: Period | None,
    named: bool,
) -> tuple[list[Quality], list[str]]:
    """The results, and why views without any have none. Raises HistoryError when no view has, or a named one."""
    from streaming.history.quality import measure
    from streaming.history.store import HistoryError

    results, missing = [], []
    for view in plan.views:
        try:
            results += measure(spark, root, view, first, last, against, now=datetime.now(UTC))
        except HistoryError as error:
            if named:
                raise
            missing.append(str(error))
    if not results and missing:
        raise HistoryError(missing[0])
    return results, missing


def find(results: Sequence[Quality], rules: Rules) -> list[dict[str, str]]:
    """What breaks a threshold: view, feature, day and reason."""
    return [
        {"view": q.view, "feature": q.feature, "day": str(q.day), "reason": reason}
        for q in results
        for reason in rules[q.view][q.feature].broken(q.null_rate, q.psi)
    ]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TidemarkError(f"{text!r} is no day: write it like 2026-01-31") from None


def _period(text: str) -> Period:
    from streaming.history.quality import Period

    found = re.fullmatch(r"(.+)\.\.(.+)", text)
    if found is None:
        raise TidemarkError(f"--baseline {text!r} is no range of days: write 2026-01-01..2026-01-07")
    period = Period(_day(found[1]), _day(found[2]))
    if period.end <= period.first:
        raise TidemarkError(f"--baseline {text} has no day: name the day after its last behind the dots")
    return period


def _plain(quality: Quality) -> dict[str, Any]:
    return {**msgspec.to_builtins(quality), "null_rate": quality.null_rate}


def _show(
    results: Sequence[Quality], broken: Sequence[Mapping[str, str]], missing: Sequence[str], days: bool
) -> None:
    console = Console()
    by_view: dict[str, dict[str, list[Quality]]] = {}
    for result in results:
        by_view.setdefault(result.view, {}).setdefault(result.feature, []).append(result)
    for name, features in by_view.items():
        console.print(_table(name, features, days))
    for text in missing:
        console.print(f"[dim]{escape(text)}[/dim]", soft_wrap=True)
    for one in broken:
        text = f"{one['view']}.{one['feature']} on {one['day']}: {one['reason']}"
        console.print(f"[red]{escape(text)}[/red]", soft_wrap=True, highlight=False)


def _table(name: str, features: Mapping[str, Sequence[Quality]], days: bool) -> Table:
    """A line a feature with its last day and the trend, or one for each of its days."""
    everything = [q for held in features.values() for q in held]
    first, last = min(q.day for q in everything), max(q.day for q in everything)
    against = {q.baseline for q in everything if q.baseline}
    title = f"{name}, {first} to {last}, against {' '.join(sorted(against)) or 'nothing'}"
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    table.add_column("feature", overflow="fold")
    if days:
        table.add_column("day", no_wrap=True)
    for column in ("rows", "null %", "p5", "p50", "p95", "PSI"):
        table.add_column(column, justify="right", no_wrap=True)
    if not days:
        table.add_column("null trend", no_wrap=True)
        table.add_column("PSI trend", no_wrap=True)
    for feature, held in features.items():
        for q in held if days else held[-1:]:
            cells = [feature, *([str(q.day)] if days else []), f"{q.rows:,}", f"{100 * q.null_rate:.2f}"]
            cells += [_value(q.quantiles[SHOWN[p]]) for p in ("p5", "p50", "p95")]
            cells.append(_value(q.psi))
            if not days:
                cells += [spark_line([q.null_rate for q in held], 1.0), spark_line([q.psi for q in held])]
            table.add_row(*cells)
    return table


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"


def spark_line(values: Sequence[float | None], top: float | None = None, width: int = 14) -> str:
    """The last `width` values as a line of small bars; the tallest is `top`, or the greatest value."""
    shown = values[-width:]
    most = top or max((v for v in shown if v is not None), default=0) or 1
    return "".join(" " if v is None else MARKS[min(int(8 * v / most), 7)] for v in shown)
