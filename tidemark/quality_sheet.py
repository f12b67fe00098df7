"""Quality over time as charts: nulls, quantiles, drift, and the last day beside the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from streaming.definitions.thresholds import Thresholds
from tidemark.charts import Chart, Row, Sheet

if TYPE_CHECKING:
    from streaming.history.quality import Quality

COLUMNS = ("null rate", "p5, p25, p50, p75, p95", "PSI", "values in bins: last day, baseline")


def sheet(results: Sequence[Quality], rules: Mapping[str, Mapping[str, Thresholds]]) -> Sheet:
    """A row a feature of all results, over the days from the first to the last of them."""
    first, last = min(q.day for q in results), max(q.day for q in results)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    held: dict[tuple[str, str], dict[date, Quality]] = {}
    for q in results:
        held.setdefault((q.view, q.feature), {})[q.day] = q
    rows = [
        _row(view, feature, by_day, days, rules.get(view, {}).get(feature, Thresholds()))
        for (view, feature), by_day in held.items()
    ]
    return Sheet("Feature quality by day", COLUMNS, rows, str(first), str(last))


def _row(
    view: str, feature: str, by_day: Mapping[date, Quality], days: Sequence[date], limits: Thresholds
) -> Row:
    found = [by_day.get(day) for day in days]

    def quantile(number: int) -> list[float | None]:
        return [q.quantiles[number] if q else None for q in found]

    newest = by_day[max(by_day)]
    counted = max(sum(newest.counts), 1)
    charts = [
        Chart([q.null_rate if q else None for q in found], limit=limits.max_null_rate),
        Chart(quantile(4), bands=[(quantile(2), quantile(6)), (quantile(3), quantile(5))], zero=False),
        Chart([q.psi if q else None for q in found], limit=limits.max_psi),
        Chart(bars=[n / counted for n in newest.counts], other=newest.expected if newest.baseline else ()),
    ]
    return Row(feature, f"{view}, {newest.rows:,} rows on {newest.day}", charts)
