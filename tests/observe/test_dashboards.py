"""Dashboards, alert rules and runbooks name metrics that exist, with labels that they have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import prometheus_client
import pytest
import yaml

from serving.api import metrics as of_the_api
from streaming import metrics
from training.models import metrics as of_models

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
BOARDS = sorted((CONF / "grafana" / "dashboards").glob("*.json"))
RULES = [
    rule
    for group in yaml.safe_load((CONF / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
OPERATE = (ROOT / "docs" / "operate.md").read_text()
OURS = {"job", "instance", "lane", "le"}
"""Labels that Prometheus or its configuration adds."""


def declared() -> dict[str, set[str]]:
    """Every series that the module can give, with its labels."""
    series = {"up": set[str]()}
    for metric in (m for module in (metrics, of_the_api, of_models) for m in vars(module).values()):
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(
                metric._type, [""]
            )
            series |= {metric._name + suffix: set(metric._labelnames) for suffix in suffixes}
    return series


def expressions() -> list[tuple[str, str, str]]:
    """(where, expression, what is shown of each series)."""
    found = [(r["alert"], r["expr"], r["annotations"]["summary"]) for r in RULES]
    for path in BOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            found += [
                (f"{path.stem}: {panel['title']}", t["expr"], t["legendFormat"]) for t in panel["targets"]
            ]
    return found


@pytest.mark.parametrize(("where", "expr", "shown"), expressions(), ids=lambda v: v[:40])
def test_an_expression_names_series_and_labels_that_exist(where: str, expr: str, shown: str) -> None:
    series = declared()
    named = set(re.findall(r"\b(tidemark_\w+|up)\b", expr))
    assert named, where
    assert named <= series.keys(), named - series.keys()
    labels = set().union(*(series[name] for name in named)) | OURS
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expr) for label in group.split(",")}
    matched = {
        label for braces in re.findall(r"\{([^}]*)\}", expr) for label in re.findall(r"(\w+)=", braces)
    }
    named_labels = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", shown)) - {"value"}
    assert grouped | matched | named_labels <= labels, where
    if grouped:
        assert named_labels <= grouped, f"{where} shows a label that it has summed over"
    assert expr.count("(") == expr.count(")")


def test_counters_are_looked_at_by_their_growth() -> None:
    for where, expr, _ in expressions():
        for counter in re.findall(r"tidemark_\w+_total", expr):
            assert re.search(rf"(rate|increase)\({counter}", expr), where


def test_every_metric_is_on_a_dashboard() -> None:
    text = " ".join(expr for _, expr, _ in expressions())
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in declared()}
    assert {name for name in names if name not in text} == set()


def test_every_alert_has_a_runbook_that_its_link_leads_to() -> None:
    runbooks = set(re.findall(r"^### (\w+)$", OPERATE.split("## Runbooks")[1], re.M))
    assert {rule["alert"] for rule in RULES} == runbooks
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operate.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("path", BOARDS, ids=lambda p: p.stem)
def test_a_dashboard_can_be_provisioned(path: Path) -> None:
    board = json.loads(path.read_text())
    source = yaml.safe_load((CONF / "grafana" / "datasources.yml").read_text())["datasources"][0]
    assert board["uid"].startswith("tidemark-")
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, f"{panel['title']} lies over another panel"
        assert place["x"] + place["w"] <= 24
        cells |= mine
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool: apt install prometheus")
def test_prometheus_own_tool_agrees_and_alerts_fire() -> None:
    fire = str(ROOT / "tests" / "observe" / "alerts_fire.yml")
    for words in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", fire],
    ):
        done = subprocess.run(
            ["promtool", *words], cwd=CONF / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
