"""Two looks and the latest alerts as tables for a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tidemark.watch.scrape import Between

BARS = "▁▂▃▄▅▆▇█"
NONE = "-"
WHOLE = "spark triggerExecution"
"""The stage that is a batch from beginning to end."""
LATENCY = (
    ("scored, after it was produced", "tidemark_score_latency_seconds"),
    ("batch of the online lane", "tidemark_batch_seconds"),
    ("batch of the history lane", "tidemark_history_batch_seconds"),
    ("request to the API", "tidemark_api_seconds"),
)
"""What is shown of histograms: quantiles since the last look."""
MUST_BE_ZERO = ("tidemark_unaccounted_total", "tidemark_history_unaccounted_total")


class Past:
    """Values of the last looks, for a line of bars."""

    def __init__(self, most: int = 40) -> None:
        self._held: dict[str, deque[float]] = {}
        self._most = most

    def add(self, name: str, value: float) -> str:
        """`value` and those before it as bars, the tallest of them as high as it gets."""
        held = self._held.setdefault(name, deque(maxlen=self._most))
        held.append(value)
        top = max(held) or 1.0
        return "".join(BARS[min(int(v / top * (len(BARS) - 1) + 0.5), len(BARS) - 1)] for v in held)


def screen(looks: Between, alerts: Sequence[dict[str, Any]], trouble: str, past: Past) -> RenderableType:
    """All of it."""
    now = looks.now
    parts: list[RenderableType] = [_head(looks, past)]
    parts += [Text(f"{address} does not answer: {why}", "red") for address, why in now.away.items()]
    if now.has("tidemark_events_total"):
        parts.append(_views(looks))
    parts.append(Columns([_latency(looks), _troubles(looks)], padding=(0, 4)))
    parts.append(_alerts(alerts, trouble))
    return Group(*parts)


def _head(looks: Between, past: Past) -> RenderableType:
    now = looks.now
    table = Table.grid(padding=(0, 2))
    used = looks.rate("tidemark_events_total", outcome="used")
    lag = now.total("tidemark_lag_messages")
    rows = [
        ("events used", f"{used:,.0f}/s", past.add("used", used), "cyan"),
        ("lag", f"{lag:,.0f} messages", past.add("lag", lag), "yellow" if lag > used * 5 + 1_000 else "cyan"),
    ]
    freshest = now.highest("tidemark_freshness_seconds")
    if freshest is not None:
        bars = past.add("freshness", max(freshest, 0.0))
        rows.append(("freshness", f"{freshest:,.2f} s", bars, "yellow" if freshest > 10 else "cyan"))
    if now.has("tidemark_scored_total"):
        scored = looks.rate("tidemark_scored_total")
        rows.append(("events scored", f"{scored:,.0f}/s", past.add("scored", scored), "cyan"))
    if now.has("tidemark_api_requests_total"):
        asked = looks.rate("tidemark_api_requests_total")
        rows.append(("requests to the API", f"{asked:,.0f}/s", past.add("api", asked), "cyan"))
    for name, value, bars, colour in rows:
        table.add_row(name, Text(value, f"bold {colour}", justify="right"), Text(bars, colour))
    return Panel(table, title="Tidemark", title_align="left", border_style="cyan", expand=False)


def _views(looks: Between) -> RenderableType:
    now = looks.now
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("view", "used/s", "late/s", "dropped/s", "entities/s", "written", "fresh"):
        table.add_column(name, justify="left" if name == "view" else "right", no_wrap=True)
    for view in sorted({labels["view"] for labels, _ in now.each("tidemark_events_total")}):
        used, late = (
            looks.rate("tidemark_events_total", view=view, outcome="used"),
            looks.rate("tidemark_late_events_total", view=view),
        )
        dropped = looks.rate("tidemark_events_total", view=view) - used
        entities = looks.rate("tidemark_entities_written_total", view=view)
        written = looks.rate("tidemark_redis_bytes_total", view=view, direction="written")
        fresh = now.highest("tidemark_freshness_seconds", view=view)
        table.add_row(
            view,
            f"{used:,.0f}",
            f"{late:,.0f}",
            f"{dropped:,.0f}",
            f"{entities:,.0f}",
            f"{written / 1e6:,.2f} MB/s",
            NONE if fresh is None else f"{fresh:,.2f} s",
        )
    return table


def _latency(looks: Between) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for name in ("latency", "p50", "p95", "p99"):
        table.add_column(name, justify="left" if name == "latency" else "right", no_wrap=True)
    for title, metric in LATENCY:
        if not looks.now.has(f"{metric}_bucket"):
            continue
        labels = {"stage": WHOLE} if metric == "tidemark_batch_seconds" else {}
        found = [looks.quantile(metric, q, **labels) for q in (0.5, 0.95, 0.99)]
        table.add_row(title, *(NONE if value is None else _span(value) for value in found))
    return table


def _troubles(looks: Between) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for name in ("trouble", "in all"):
        table.add_column(name, justify="left" if name == "trouble" else "right", no_wrap=True)
    now = looks.now
    for name in MUST_BE_ZERO:
        if now.has(name):
            found = now.total(name)
            table.add_row(_words(name), Text(f"{found:,.0f}", "bold red" if found else "green"))
    for name in ("tidemark_quarantined_total", "tidemark_restarts_total", "tidemark_repaired_batches_total"):
        if now.has(name):
            table.add_row(_words(name), f"{now.total(name):,.0f}")
    return table


def _alerts(alerts: Sequence[dict[str, Any]], trouble: str) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for name in ("alert", "score", "entity", "event"):
        table.add_column(name, justify="right" if name == "score" else "left", no_wrap=True)
    for alert in alerts:
        colour = "bold red" if alert.get("alert_level") == "critical" else "yellow"
        risk = alert.get("risk_score")
        table.add_row(
            _clock(alert.get("timestamp")),
            Text(f"{risk:.3f}" if isinstance(risk, float) else NONE, colour),
            str(alert.get("entity_id", NONE)),
            str(alert.get("event_type", "")).replace("_", " "),
        )
    if trouble:
        return Group(table, Text(trouble, "red"))
    return table if alerts else Text("no alert yet", "dim")


def _clock(text: Any) -> str:
    try:
        return f"{datetime.fromisoformat(str(text)):%H:%M:%S}"
    except ValueError:
        return NONE


def _span(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def _words(name: str) -> str:
    return name.removeprefix("tidemark_").removesuffix("_total").replace("_", " ")
