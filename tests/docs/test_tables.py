"""Tables of settings, metrics and headers, held against the code."""

import importlib
import inspect
import re
from pathlib import Path

import prometheus_client
import pytest
from commands import ROOT
from pydantic_core import PydanticUndefined

from serving.api.settings import ApiSettings
from serving.online_store import TiledRedisOnlineStoreConfig
from serving.scoring.settings import ScoringSettings
from streaming import metrics, outbox, source
from streaming.definitions.cost import CostSettings
from streaming.plan import Source
from streaming.settings import HistorySettings, LaneSettings
from tidemark.settings import LocalSettings
from tidemark.watch.settings import WatchSettings
from training.models.settings import ModelSettings

CONFIGURE = (ROOT / "docs" / "configure.md").read_text()
OPERATE = (ROOT / "docs" / "operate.md").read_text()


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]


def section(text: str, title: str) -> str:
    return re.split(r"^## ", text.split(f"## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def shown(default: object) -> str:
    if default is None:
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


@pytest.mark.parametrize(
    ("title", "settings"),
    [
        ("The online lane", LaneSettings),
        ("The history lane", HistorySettings),
        ("The scoring lane", ScoringSettings),
        ("The HTTP API", ApiSettings),
        ("Watching", WatchSettings),
        ("Plans", CostSettings),
        ("Models", ModelSettings),
        ("Services on this machine", LocalSettings),
    ],
)
def test_every_setting_is_listed_with_its_default(title, settings):
    table = {cells[0].strip("`"): cells[1] for cells in rows(section(CONFIGURE, title))[2:]}
    fields = {f"TIDEMARK_{name.upper()}": field for name, field in settings.model_fields.items()}
    assert table.keys() == fields.keys()
    for name, field in fields.items():
        if field.default is not PydanticUndefined:
            assert table[name] == shown(field.get_default()), name
        else:
            assert (ROOT / re.findall(r"`([^`]+)`", table[name])[0]).resolve() == Path(
                field.default_factory()
            ), name


@pytest.mark.parametrize("lane", ["online", "history"])
def test_an_option_that_a_setting_names_exists(lane):
    import typer

    command = importlib.import_module(f"streaming.jobs.{lane}").command
    app = typer.Typer(add_completion=False)
    app.command()(command())
    options = {
        o for p in typer.main.get_command(app).params for o in (*p.opts, *getattr(p, "secondary_opts", ()))
    }
    named = {cells[2].strip("`") for cells in rows(section(CONFIGURE, f"The {lane} lane"))[2:] if cells[2]}
    assert named <= options
    assert len(named) >= 5


def test_every_setting_of_the_store_is_listed_with_its_default():
    table = {cells[0].strip("`"): cells[1] for cells in rows(section(CONFIGURE, "The online store"))[2:]}
    own = set(inspect.get_annotations(TiledRedisOnlineStoreConfig)) - {"type"}
    assert table.keys() == own
    for name in own:
        assert table[name] == shown(TiledRedisOnlineStoreConfig.model_fields[name].default)


def test_every_tag_is_listed():
    text = "".join(path.read_text() for path in (ROOT / "streaming" / "definitions").glob("*.py"))
    read = set(re.findall(r"tags(?:\.get\(|, )\"(\w+)\"", text))
    assert {c[0].strip("`") for c in rows(section(CONFIGURE, "Tags")) if c[0].startswith("`")} == read


def test_every_metric_is_listed_with_its_labels():
    declared = {}
    for metric in vars(metrics).values():
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            suffix = "_total" if isinstance(metric, prometheus_client.Counter) else ""
            declared[metric._name + suffix] = (list(metric._labelnames), metric._documentation)
    table = {c[0].strip("`"): c for c in rows(section(OPERATE, "Metrics"))[2:]}
    assert table.keys() == declared.keys()
    for name, (labels, text) in declared.items():
        assert re.findall(r"`(\w+)`", table[name][1]) == labels
        assert table[name][2].startswith(text)
    assert set(re.findall(r"tidemark_\w+", OPERATE)) <= declared.keys()
    assert ", ".join(metrics.OUTCOMES) in table["tidemark_events_total"][2]


def test_every_header_and_reason_of_a_dead_letter_is_listed():
    text = section(OPERATE, "Dead letters")
    code = inspect.getsource(outbox.Outbox.quarantine)
    for header in re.findall(r'"(\w+)": ', code):
        assert f"`{header}`" in text
    claims = Source("claims", "t", "b", "json", "", "COLUMN", event_id="COLUMN", required=("COLUMN",))
    codes = (source.EMPTY, source.MALFORMED, source.NO_TIME, source.NO_ID, source.FUTURE, source.MISSING)
    for code in codes:
        said = source.reason(claims, code).replace(str(claims.max_future_skew), "N")
        assert f"`{said}`" in " ".join(text.split()), said
